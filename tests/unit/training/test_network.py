"""The network takes an ImageNet file with torchvision's keys, and serves what it was trained to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.networks.nets.resnet import resnet18 as monai_resnet18
from torch import nn

from training.errors import ParityError, RecipeError
from training.graph import (
    ServedNetwork,
    export_graph,
    prepare_for_export,
    probabilities,
    require_parity,
    score_graph,
)
from training.network import TriageNetwork, enter_training, freeze_below_last_block, load_backbone, save_state
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


def trained_a_little() -> TriageNetwork:
    """Return a network whose batch statistics are not those of a fresh one."""
    torch.manual_seed(2)
    network = TriageNetwork(RECIPE).train()
    for _ in range(3):
        network(films(8))
    return network.eval()


@pytest.fixture(scope="module")
def served() -> ServedNetwork:
    return ServedNetwork(prepare_for_export(trained_a_little(), half_precision_weights=True), 1.7).eval()


@pytest.fixture(scope="module")
def graph(served: ServedNetwork) -> bytes:
    """Exported once for the module: tracing a network costs more than all other tests here."""
    return export_graph(served, size=SIZE, opset=20, half_precision_weights=True)


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
    freeze_below_last_block(network)
    enter_training(network)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network(films(4))
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed
    assert all(name.startswith("backbone.layer4.1.") for name in changed)
    learning = {name.rsplit(".", 2)[0] for name, tensor in network.named_parameters() if tensor.requires_grad}
    assert all(name.startswith(("backbone.layer4.1", "head")) for name in learning)


def test_folding_batch_normalisation_changes_no_answer() -> None:
    network = trained_a_little()
    folded = prepare_for_export(network, half_precision_weights=False)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    with torch.inference_mode():
        torch.testing.assert_close(folded(films()), network(films()), atol=1e-5, rtol=1e-4)


def test_graph_and_network_agree_at_any_batch_size(served: ServedNetwork, graph: bytes) -> None:
    for count in (1, 5):
        tensors = [films(count).numpy()]
        assert require_parity(probabilities(served, tensors), score_graph(graph, tensors, threads=1), 1e-5) <= 1e-5


def test_weights_are_stored_in_half_precision(graph: bytes) -> None:
    # 11.2 million of them, two bytes each.
    assert len(graph) == pytest.approx(22.5e6, rel=0.02)


def test_a_graph_tells_nothing_about_the_machine_that_exported_it(graph: bytes) -> None:
    assert b".py" not in graph
    assert str(Path.cwd()).encode() not in graph


def test_a_difference_beyond_the_tolerance_is_a_parity_error() -> None:
    assert require_parity(np.array([0.5]), np.array([0.500001]), 1e-5) == pytest.approx(1e-6)
    with pytest.raises(ParityError, match="differs from the network"):
        require_parity(np.array([0.5]), np.array([0.5001]), 1e-5)
    with pytest.raises(ParityError):
        require_parity(np.array([0.5]), np.array([np.nan]), 1e-5)
