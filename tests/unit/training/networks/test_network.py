"""Films, and age and sex where they are asked for, become logits; normalisation is the network's own business."""

from __future__ import annotations

import pytest
import torch
from torch.nn.utils import convert_conv2d_weight_memory_format

from training.errors import RecipeError
from training.networks.backbone import Backbone
from training.networks.network import TriageNetwork, build_backbone
from training.recipe import NetworkRecipe

RECIPE = NetworkRecipe(architecture="resnet18", hidden=16, dropout=0.4)
PLAIN = NetworkRecipe(architecture="convolutional", filters=(4, 8), hidden=(), dropout=0.0)
ARCHITECTURES = {
    "resnet18": RECIPE,
    "resnet50": RECIPE.model_copy(update={"architecture": "resnet50"}),
    "densenet121": RECIPE.model_copy(update={"architecture": "densenet121"}),
    "mobilenet": RECIPE.model_copy(update={"architecture": "mobilenet"}),
    "convolutional": PLAIN,
}


def films(count: int = 3, size: int = 64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, 1, size, size), dtype=torch.uint8, generator=generator)


def changed(recipe: NetworkRecipe, **values: object) -> NetworkRecipe:
    return NetworkRecipe(**(recipe.model_dump() | values))


def test_one_logit_a_finding_follows_the_first_two() -> None:
    network = TriageNetwork(changed(RECIPE, findings=("Mass", "Nodule", "Edema")), size=64).eval()
    with torch.inference_mode():
        maps, features, logits = network.feature_maps(films()), network.features(films()), network(films())
        torch.testing.assert_close(logits, network.head(features))
    assert maps.shape == (3, 512, 2, 2)
    torch.testing.assert_close(features, maps.mean(dim=(2, 3)))
    assert logits.shape == (3, 5)


def test_without_any_finding_there_are_only_the_logits_of_findings() -> None:
    network = TriageNetwork(changed(PLAIN, findings=("Mass", "Nodule", "Edema"), any_finding=False), size=16)
    assert network(films(2, 16)).shape == (2, 3)


def test_flattened_features_are_the_whole_map_and_pooled_ones_its_mean() -> None:
    flat = TriageNetwork(changed(PLAIN, pooling="flatten"), size=16)
    assert flat.training
    assert flat.width == 8 * 4 * 4
    maps = flat.feature_maps(films(2, 16))
    torch.testing.assert_close(flat.pooled(maps), maps.reshape(2, -1))
    assert TriageNetwork(PLAIN, size=16).width == 8


@pytest.mark.parametrize("hidden", [(), (6,), (5, 4)])
@pytest.mark.parametrize(("activation", "kind"), [("tanh", torch.nn.Tanh), ("relu", torch.nn.ReLU)])
def test_the_head_has_a_layer_for_each_width(hidden: tuple[int, ...], activation: str, kind: type) -> None:
    head = TriageNetwork(changed(PLAIN, hidden=hidden, activation=activation, dropout=0.3), size=16).head
    linear = [layer for layer in head if isinstance(layer, torch.nn.Linear)]
    assert [layer.in_features for layer in linear] == [8, *hidden]
    assert [layer.out_features for layer in linear] == [*hidden, 2]
    assert sum(isinstance(layer, kind) for layer in head) == len(hidden)
    assert [layer.p for layer in head if isinstance(layer, torch.nn.Dropout)] == [0.3] * len(hidden)


def test_unknown_age_and_sex_count_as_those_of_the_train_part() -> None:
    network = TriageNetwork(changed(PLAIN, age_sex=True), size=16).eval()
    network.neutral.copy_(torch.tensor([0.47, 0.56]))
    nan = float("nan")
    some = torch.tensor([[0.6, 1.0], [nan, 0.0], [nan, nan]])
    with torch.inference_mode():
        features = network.features(films(3, 16))
        joined = network.joined(features, some)
        torch.testing.assert_close(joined[:, -2:], torch.tensor([[0.6, 1.0], [0.47, 0.0], [0.47, 0.56]]))
        torch.testing.assert_close(network(films(3, 16)), network(films(3, 16), torch.full((3, 2), nan)))
        assert not torch.equal(network(films(3, 16)), network(films(3, 16), some))
    assert "neutral" in network.state_dict()
    assert "neutral" not in TriageNetwork(PLAIN, size=16).state_dict()


def test_each_normalisation_does_what_the_recipe_says() -> None:
    seen: list[torch.Tensor] = []
    pixels = films(2, 16) / 255

    def normalised(**values: object) -> torch.Tensor:
        network = TriageNetwork(changed(PLAIN, **values), size=16)
        first = network.backbone.get_submodule("blocks.0.conv")
        first.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
        network(films(2, 16))
        return seen[-1]

    torch.testing.assert_close(normalised(gray_mean=0.5, gray_std=0.25), (pixels - 0.5) / 0.25)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = (pixels - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)
    torch.testing.assert_close(normalised(normalisation="imagenet"), expected)
    own = normalised(normalisation="film")
    torch.testing.assert_close(own.mean(dim=(1, 2, 3)), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(own.std(dim=(1, 2, 3)), torch.ones(2), atol=0.01, rtol=0)


def test_a_film_of_one_gray_has_no_deviation_and_stays_finite() -> None:
    network = TriageNetwork(changed(PLAIN, normalisation="film"), size=16)
    assert network(torch.full((2, 1, 16, 16), 90, dtype=torch.uint8)).isfinite().all()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_least_size_leaves_a_map_and_one_pixel_less_is_refused(architecture: str) -> None:
    recipe = ARCHITECTURES[architecture]
    backbone = build_backbone(recipe).eval()
    least = backbone.least_size
    with torch.inference_mode():
        assert backbone.maps(torch.zeros(1, 1, least, least)).shape == (1, backbone.channels, 1, 1)
        with pytest.raises(RuntimeError):
            backbone.maps(torch.zeros(1, 1, least - 1, least - 1))
    with pytest.raises(RecipeError, match=f"takes films of {least} px or more, not {least - 1} px"):
        TriageNetwork(recipe, size=least - 1)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_films_laid_out_channels_last_get_the_same_maps(architecture: str) -> None:
    backbone: Backbone = build_backbone(ARCHITECTURES[architecture]).double().eval()
    pixels = torch.randn((2, 1, 64, 64), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.inference_mode():
        expected = backbone.maps(pixels)
        convert_conv2d_weight_memory_format(backbone, torch.channels_last)
        found = backbone.maps(pixels.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_loss_reaches_every_parameter(architecture: str) -> None:
    network = TriageNetwork(ARCHITECTURES[architecture], size=64)
    network(films(4)).square().sum().backward()
    unreached = [
        name for name, each in network.named_parameters() if each.grad is None or not each.grad.isfinite().all()
    ]
    assert not unreached
