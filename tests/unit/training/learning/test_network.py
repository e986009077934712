"""The network takes an ImageNet file with torchvision's keys, and answers with findings beside the two logits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from monai.networks.nets.resnet import resnet18 as monai_resnet18
from torch import nn

from training.errors import RecipeError
from training.learning.network import (
    Learns,
    TriageNetwork,
    enter_training,
    freeze_below,
    load_backbone,
    mean_state,
    save_state,
)
from training.recipe import NetworkRecipe

RECIPE = NetworkRecipe(architecture="resnet18", hidden=16, dropout=0.4)
SIZE = 64


def three_channel_network() -> nn.Module:
    """Return a network with exactly torchvision's keys and shapes, fc included."""
    torch.manual_seed(0)
    return monai_resnet18(
        spatial_dims=2,
        n_input_channels=3,
        num_classes=1000,
        shortcut_type="B",
        bias_downsample=False,
        conv1_t_size=7,
        conv1_t_stride=2,
    ).eval()


def films(count: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, 1, SIZE, SIZE), dtype=torch.uint8, generator=generator)


@pytest.fixture
def imagenet_file(tmp_path: Path) -> Path:
    path = tmp_path / "resnet18.pth"
    torch.save(three_channel_network().state_dict(), path)
    return path


def test_resnet50_has_the_keys_of_torchvision() -> None:
    state = TriageNetwork(NetworkRecipe(architecture="resnet50", hidden=512, dropout=0.4)).backbone.state_dict()
    # 320 keys in torchvision's file, two of them fc's (ML.md §C).
    assert len(state) == 318
    assert state["conv1.weight"].shape == (64, 1, 7, 7)
    assert state["layer1.0.downsample.0.weight"].shape == (256, 64, 1, 1)
    assert state["layer4.2.conv3.weight"].shape == (2048, 512, 1, 1)
    assert state["layer4.2.bn3.num_batches_tracked"].shape == ()


def test_a_loaded_imagenet_file_answers_as_three_gray_channels_would(imagenet_file: Path) -> None:
    network = TriageNetwork(RECIPE).eval()
    load_backbone(network, imagenet_file)
    original = three_channel_network()
    original.fc = nn.Identity()
    normalised = (films().float() / 255 - RECIPE.gray_mean) / RECIPE.gray_std
    with torch.inference_mode():
        torch.testing.assert_close(network.features(films()), original(normalised.expand(-1, 3, -1, -1)))


def test_a_weights_file_of_another_network_is_refused(imagenet_file: Path) -> None:
    with pytest.raises(RecipeError, match="does not fit this network"):
        load_backbone(TriageNetwork(NetworkRecipe(architecture="resnet50", hidden=8, dropout=0)), imagenet_file)


def test_a_weights_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "whole.pth"
    torch.save(three_channel_network(), path)
    with pytest.raises(RecipeError, match="cannot read the weights"):
        load_backbone(TriageNetwork(RECIPE), path)


@pytest.mark.parametrize(
    "content", [b"", b"not weights", b"root:x:0:0:root", bytes(range(256)), b"\x80\x02", b"PK\x03\x04"]
)
def test_a_file_that_is_no_weights_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.pth"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match="cannot read the weights"):
        load_backbone(TriageNetwork(RECIPE), path)


def test_a_full_disk_is_an_os_error_while_a_state_is_saved() -> None:
    with pytest.raises(OSError, match="No space left"):
        save_state(TriageNetwork(RECIPE).state_dict(), Path("/dev/full"))


def test_only_last_block_and_head_learn_and_frozen_statistics_stay() -> None:
    network = TriageNetwork(RECIPE)
    freeze_below(network, "last_block")
    enter_training(network)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network(films(4))
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed
    assert all(name.startswith("backbone.layer4.1.") for name in changed)
    learning = {name.rsplit(".", 2)[0] for name, tensor in network.named_parameters() if tensor.requires_grad}
    assert all(name.startswith(("backbone.layer4.1", "head")) for name in learning)


@pytest.mark.parametrize(
    ("learns", "stages"), [("last_block", ["layer4.1"]), ("last_stage", ["layer4.0", "layer4.1"]), ("whole", ["conv1"])]
)
def test_a_stage_teaches_what_it_says(learns: Learns, stages: list[str]) -> None:
    network = TriageNetwork(RECIPE)
    freeze_below(network, learns)
    learning = [name for name, parameter in network.backbone.named_parameters() if parameter.requires_grad]
    assert all(any(name.startswith(stage) for name in learning) for stage in stages)
    assert learns == "whole" or all(name.startswith(tuple(stages)) for name in learning)


def test_one_logit_a_finding_follows_the_first_two() -> None:
    recipe = RECIPE.model_copy(update={"findings": ("Mass", "Nodule", "Edema")})
    network = TriageNetwork(recipe).eval()
    with torch.inference_mode():
        maps, features, logits = network.feature_maps(films()), network.features(films()), network(films())
        torch.testing.assert_close(logits, network.head(features))
    assert maps.shape == (3, 512, 2, 2)
    torch.testing.assert_close(features, maps.mean(dim=(2, 3)))
    assert logits.shape == (3, 5)


def test_a_one_channel_backbone_of_ours_loads_as_it_is(tmp_path: Path) -> None:
    trained, fresh = TriageNetwork(RECIPE), TriageNetwork(RECIPE)
    save_state(trained.backbone.state_dict(), tmp_path / "backbone.pth")
    load_backbone(fresh, tmp_path / "backbone.pth")
    assert torch.equal(fresh.backbone.conv1.weight, trained.backbone.conv1.weight)


def test_the_mean_of_networks_is_that_of_weights_and_batch_statistics() -> None:
    states = [TriageNetwork(RECIPE).state_dict() for _ in range(3)]
    states[1]["backbone.bn1.running_mean"] += 3.0
    mean = mean_state(states)
    name = "backbone.layer3.0.conv1.weight"
    torch.testing.assert_close(mean[name], (states[0][name] + states[1][name] + states[2][name]) / 3)
    torch.testing.assert_close(mean["backbone.bn1.running_mean"], torch.ones(64))
    assert mean["backbone.bn1.num_batches_tracked"].dtype == torch.int64
