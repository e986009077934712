"""A file that does not fit is refused with its reason; nothing of it is taken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.support.foreign_weights import keras_mobilenet, torchvision_densenet121
from training.errors import RecipeError
from training.networks.network import TriageNetwork
from training.networks.states import save_state
from training.networks.weights import load_backbone
from training.recipe import NetworkRecipe

RECIPE = NetworkRecipe(architecture="resnet18", hidden=16, dropout=0.4)
PLAIN = NetworkRecipe(architecture="convolutional", filters=(4, 8), hidden=(), dropout=0.0)


def network(recipe: NetworkRecipe = RECIPE) -> TriageNetwork:
    return TriageNetwork(recipe, size=64)


def of(architecture: str) -> NetworkRecipe:
    return RECIPE.model_copy(update={"architecture": architecture})


def backbone_state() -> dict[str, torch.Tensor]:
    return network().backbone.state_dict()


def test_a_one_channel_backbone_of_ours_loads_as_it_is(tmp_path: Path) -> None:
    trained, fresh = network(), network()
    save_state(trained.backbone.state_dict(), tmp_path / "backbone.pth")
    load_backbone(fresh, tmp_path / "backbone.pth")
    assert torch.equal(fresh.backbone.state_dict()["conv1.weight"], trained.backbone.state_dict()["conv1.weight"])


def test_a_file_from_before_batches_were_counted_loads(tmp_path: Path) -> None:
    state = {key: value for key, value in backbone_state().items() if not key.endswith("num_batches_tracked")}
    save_state(state, tmp_path / "old.pth")
    fresh = network()
    load_backbone(fresh, tmp_path / "old.pth")
    assert torch.equal(fresh.backbone.state_dict()["conv1.weight"], state["conv1.weight"])


@pytest.mark.parametrize(
    ("wanted", "given", "found"),
    [
        ("resnet18", torchvision_densenet121, "densenet121"),
        ("densenet121", keras_mobilenet, "mobilenet"),
        ("mobilenet", torchvision_densenet121, "densenet121"),
        ("resnet50", backbone_state, "resnet18"),
    ],
)
def test_the_file_of_another_architecture_is_recognised(
    tmp_path: Path, wanted: str, given: Callable[[], dict[str, torch.Tensor]], found: str
) -> None:
    save_state(given(), tmp_path / "other.pth")
    with pytest.raises(RecipeError, match=f"other.pth does not fit the network '{wanted}': .*looks like {found}"):
        load_backbone(network(of(wanted)), tmp_path / "other.pth")


def test_what_a_file_lacks_has_too_much_or_in_other_shapes_is_named_and_nothing_is_taken(tmp_path: Path) -> None:
    state = backbone_state()
    del state["layer1.0.conv1.weight"], state["bn1.running_var"]
    state["more"] = torch.zeros(1)
    state["layer2.0.bn1.weight"] = torch.zeros(3)
    save_state({key: value + 1 for key, value in state.items()}, tmp_path / "odd.pth")
    asked = network()
    before = {key: value.clone() for key, value in asked.backbone.state_dict().items()}
    expected = (
        r"it lacks bn1\.running_var, layer1\.0\.conv1\.weight; it has the unknown more; "
        r"it differs in: layer2\.0\.bn1\.weight is floats \(3,\), not floats \(128,\)"
    )
    with pytest.raises(RecipeError, match=expected):
        load_backbone(asked, tmp_path / "odd.pth")
    assert all(torch.equal(value, before[key]) for key, value in asked.backbone.state_dict().items())


def test_a_stem_of_one_channel_does_not_fit_a_network_of_three(tmp_path: Path) -> None:
    save_state(network(PLAIN).backbone.state_dict(), tmp_path / "gray.pth")
    three = network(PLAIN.model_copy(update={"normalisation": "imagenet"}))
    with pytest.raises(
        RecipeError, match=r"blocks\.0\.conv\.weight is floats \(4, 1, 3, 3\), not floats \(4, 3, 3, 3\)"
    ):
        load_backbone(three, tmp_path / "gray.pth")


def test_a_plain_row_of_convolutions_takes_a_file_of_its_own_in_gray_or_colour(tmp_path: Path) -> None:
    colour = network(PLAIN.model_copy(update={"normalisation": "imagenet"})).backbone.eval()
    save_state(colour.state_dict(), tmp_path / "colour.pth")
    folded = network(PLAIN)
    load_backbone(folded, tmp_path / "colour.pth")
    gray = torch.randn((2, 1, 64, 64), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(folded.backbone.eval().maps(gray), colour.maps(gray.expand(-1, 3, -1, -1)))


def test_a_stem_of_neither_one_nor_three_channels_is_not_summed(tmp_path: Path) -> None:
    state = backbone_state()
    state["conv1.weight"] = torch.zeros(64, 4, 7, 7)
    save_state(state, tmp_path / "four.pth")
    with pytest.raises(RecipeError, match=r"conv1\.weight is floats \(64, 4, 7, 7\), not floats \(64, 1, 7, 7\)"):
        load_backbone(network(), tmp_path / "four.pth")


def test_quantised_weights_are_refused_and_half_precision_is_taken(tmp_path: Path) -> None:
    state = backbone_state()
    save_state({key: value.half() for key, value in state.items()}, tmp_path / "half.pth")
    with pytest.raises(RecipeError, match=r"num_batches_tracked is floats \(\), not integers \(\)"):
        load_backbone(network(), tmp_path / "half.pth")
    half = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    save_state(half, tmp_path / "half.pth")
    fresh = network()
    load_backbone(fresh, tmp_path / "half.pth")
    assert torch.equal(fresh.backbone.state_dict()["conv1.weight"], half["conv1.weight"].float())
    save_state(state | {"conv1.weight": torch.ones((64, 1, 7, 7), dtype=torch.int8)}, tmp_path / "int8.pth")
    with pytest.raises(RecipeError, match=r"conv1\.weight is integers"):
        load_backbone(network(), tmp_path / "int8.pth")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_file_with_nan_or_infinity_is_refused(tmp_path: Path, value: float) -> None:
    state = backbone_state()
    state["layer3.1.bn2.running_var"][5] = value
    save_state(state, tmp_path / "nan.pth")
    with pytest.raises(RecipeError, match=r"nan\.pth holds NaN or infinity: layer3\.1\.bn2\.running_var"):
        load_backbone(network(), tmp_path / "nan.pth")


def test_a_number_too_large_for_the_network_is_refused(tmp_path: Path) -> None:
    state = backbone_state()
    save_state(state | {"bn1.weight": state["bn1.weight"].double() * 1e300}, tmp_path / "large.pth")
    with pytest.raises(RecipeError, match=r"large\.pth holds NaN or infinity: bn1\.weight"):
        load_backbone(network(), tmp_path / "large.pth")


@pytest.mark.parametrize("changed", [torch.Tensor.to_sparse, lambda tensor: tensor.to("meta")], ids=["sparse", "meta"])
def test_a_tensor_that_is_not_plain_is_refused(tmp_path: Path, changed: Callable[[torch.Tensor], torch.Tensor]) -> None:
    state = backbone_state()
    torch.save(state | {"bn1.weight": changed(state["bn1.weight"])}, tmp_path / "odd.pth")
    with pytest.raises(RecipeError, match=r"odd\.pth holds other than plain tensors: bn1\.weight"):
        load_backbone(network(), tmp_path / "odd.pth")


def test_a_checkpoint_around_the_state_is_refused_by_what_it_is(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "state_dict": backbone_state()}, tmp_path / "checkpoint.pth")
    with pytest.raises(RecipeError, match=r"is not a state file.*found epoch, state_dict"):
        load_backbone(network(), tmp_path / "checkpoint.pth")


def test_a_weights_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "whole.pth"
    torch.save(network().backbone, path)
    with pytest.raises(RecipeError, match="cannot read the weights"):
        load_backbone(network(), path)


@pytest.mark.parametrize(
    "content", [b"", b"not weights", b"root:x:0:0:root", bytes(range(256)), b"\x80\x02", b"PK\x03\x04"]
)
def test_a_file_that_is_no_weights_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.pth"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match="cannot read the weights"):
        load_backbone(network(), path)
