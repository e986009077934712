"""The network that learns: a backbone under fully connected layers and the logits.

Takes tensors as ``preprocess`` returns them; normalisation is part of the network, so that no caller can forget it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.errors import RecipeError
from training.networks.backbone import Backbone
from training.networks.convolutional import ConvolutionalBackbone
from training.networks.dense import DenseBackbone
from training.networks.mobile import MobileBackbone
from training.networks.residual import ResidualBackbone
from training.recipe import NetworkRecipe

_WHITE = 255.0
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_LEAST_DEVIATION = 1e-3
_DEMOGRAPHICS = 2
_ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU}


class TriageNetwork(nn.Module):
    """Films, and age and sex where the recipe asks for them, in; logits out (``answers`` says what they mean).

    With normalisation ``gray`` or ``film`` the backbone has one input channel; with the three channels' kernels summed
    it answers exactly as gray copied to three channels does, at a third of the work.

    Parameters
    ----------
    recipe
        The recipe's section.
    size
        Side of the films in pixels; flattened features have one size only.

    Raises
    ------
    RecipeError
        If a film of this size leaves no map.

    Attributes
    ----------
    backbone
        The convolutions.
    width
        Features of a film, without age and sex.
    head
        ``Linear``, activation and ``Dropout`` for each hidden layer, then the last ``Linear``.
    neutral
        ``(2,)`` what unknown age and sex count as: the mean of the train part.
    """

    neutral: Tensor
    imagenet_mean: Tensor
    imagenet_std: Tensor

    def __init__(self, recipe: NetworkRecipe, *, size: int) -> None:
        super().__init__()
        self.recipe = recipe
        self.backbone = build_backbone(recipe)
        if size < self.backbone.least_size:
            least = self.backbone.least_size
            raise RecipeError(f"the network '{recipe.architecture}' takes films of {least} px or more, not {size} px")
        self.register_buffer("imagenet_mean", torch.tensor(_IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("imagenet_std", torch.tensor(_IMAGENET_STD).view(1, 3, 1, 1), persistent=False)
        self.width = self._width(size)
        self.head = build_head(recipe, self.width)
        if recipe.age_sex:
            self.register_buffer("neutral", torch.full((_DEMOGRAPHICS,), 0.5))

    @property
    def stages(self) -> tuple[tuple[nn.Module, ...], ...]:
        """The backbone's modules from the stem to the top."""
        return self.backbone.stages

    @property
    def last_block(self) -> tuple[nn.Module, ...]:
        """The modules of the backbone's block nearest to the head."""
        return self.backbone.last_block

    def feature_maps(self, film: Tensor) -> Tensor:
        """Return maps ``(n, c, h, w)`` before pooling; ``film`` is ``(n, 1, s, s)``, uint8 or float, 0 black to 255."""
        return self.backbone.maps(self._normalised(film.float() / _WHITE))

    def pooled(self, maps: Tensor) -> Tensor:
        """Return features ``(n, width)`` of maps."""
        return maps.mean(dim=(2, 3)) if self.recipe.pooling == "average" else maps.flatten(1)

    def features(self, film: Tensor) -> Tensor:
        """Return features ``(n, width)`` of films as ``feature_maps`` takes them."""
        return self.pooled(self.feature_maps(film))

    def joined(self, features: Tensor, age_sex: Tensor | None) -> Tensor:
        """Return what the head takes: features, and age and sex ``(n, 2)`` where the recipe has them.

        NaN is unknown and counts as ``neutral``; so does ``None``, for every film.
        """
        if not self.recipe.age_sex:
            return features
        if age_sex is None:
            known = self.neutral.expand(len(features), _DEMOGRAPHICS)
        else:
            known = torch.where(torch.isnan(age_sex), self.neutral, age_sex)
        return torch.cat([features, known], dim=1)

    def forward(self, film: Tensor, age_sex: Tensor | None = None) -> Tensor:
        """Return logits ``(n, 2 * any_finding + k)``."""
        logits: Tensor = self.head(self.joined(self.features(film), age_sex))
        return logits

    def _normalised(self, film: Tensor) -> Tensor:
        if self.recipe.normalisation == "imagenet":
            return (film - self.imagenet_mean) / self.imagenet_std
        if self.recipe.normalisation == "film":
            # In double precision: runtimes add up thousands of pixels in different orders, and float32 shows it.
            pixels = film.double()
            centred = pixels - pixels.mean(dim=(1, 2, 3), keepdim=True)
            deviation = centred.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
            return (centred / (deviation + _LEAST_DEVIATION)).float()
        return (film - self.recipe.gray_mean) / self.recipe.gray_std

    def _width(self, size: int) -> int:
        if self.recipe.pooling == "average":
            return self.backbone.channels
        was_training = self.training
        with torch.inference_mode():
            width = self.eval().features(torch.zeros((1, 1, size, size))).shape[1]
        self.train(was_training)
        return width


def build_backbone(recipe: NetworkRecipe) -> Backbone:
    """Return the recipe's backbone with fresh weights."""
    channels_in = 3 if recipe.normalisation == "imagenet" else 1
    if recipe.architecture == "convolutional":
        return ConvolutionalBackbone(recipe.filters, channels_in=channels_in, dropout=recipe.block_dropout)
    if recipe.architecture == "densenet121":
        return DenseBackbone(channels_in=channels_in)
    if recipe.architecture == "mobilenet":
        return MobileBackbone(channels_in=channels_in)
    return ResidualBackbone(recipe.architecture, channels_in=channels_in)


def build_head(recipe: NetworkRecipe, width: int) -> nn.Sequential:
    """Return the fully connected layers over ``width`` features of a film."""
    layers: list[nn.Module] = []
    below = width + _DEMOGRAPHICS * recipe.age_sex
    for hidden in recipe.hidden:
        layers += [nn.Linear(below, hidden), _ACTIVATIONS[recipe.activation](), nn.Dropout(recipe.dropout)]
        below = hidden
    return nn.Sequential(*layers, nn.Linear(below, 2 * recipe.any_finding + len(recipe.findings)))
