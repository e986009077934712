"""Which network learns, and what a wrong answer costs it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from training.recipe.section import Section

Architecture = Literal["resnet18", "resnet50", "densenet121", "mobilenet", "convolutional"]


def _as_widths(value: Any) -> Any:
    return (value,) if isinstance(value, int) else value


Widths = Annotated[tuple[Annotated[int, Field(ge=1, le=4096)], ...], BeforeValidator(_as_widths)]


class NetworkRecipe(Section):
    """A backbone, its features pooled or flattened, fully connected layers, and the logits.

    Attributes
    ----------
    architecture
        ``resnet18``, ``resnet50`` and ``densenet121`` have torchvision's keys, ``mobilenet`` (version 1) Keras' layer
        names; ``convolutional`` is a plain row of ``filters``: a 3x3 convolution, ReLU, 2x2 max pooling and
        ``block_dropout`` each.
    pooling
        ``average`` over the map, or ``flatten``.
    hidden
        Widths of the fully connected layers under the logits, each with ``activation`` and ``dropout``. May be empty.
    any_finding
        The first two logits are healthy and unhealthy (softmax). Where false, there are only the sigmoid logits of
        ``findings``, and a film is as unhealthy as its findings say: 1 - prod(1 - p).
    age_sex
        Age / 100 and sex (1 male, 0 female) join the features; unknown ones count as the mean of the train part.
    normalisation
        Inside the graph: ``gray`` takes one mean and deviation of pixels in 0..1, so that the three-channel stem of an
        ImageNet file folds into one channel without changing an output; ``imagenet`` takes ImageNet's own of each of
        three channels; ``film`` each film's own mean and deviation.
    """

    architecture: Architecture = "resnet50"
    filters: tuple[Annotated[int, Field(ge=1, le=2048)], ...] = ()
    block_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    pooling: Literal["average", "flatten"] = "average"
    hidden: Widths
    activation: Literal["tanh", "relu"] = "tanh"
    dropout: float = Field(ge=0.0, lt=1.0)
    normalisation: Literal["gray", "imagenet", "film"] = "gray"
    gray_mean: float = Field(default=0.449, ge=0.0, lt=1.0)
    gray_std: float = Field(default=0.226, gt=0.0)
    any_finding: bool = True
    findings: tuple[str, ...] = ()
    age_sex: bool = False

    @model_validator(mode="after")
    def _is_consistent(self) -> NetworkRecipe:
        if len(set(self.findings)) != len(self.findings):
            raise ValueError("findings names a label twice")
        if not self.any_finding and not self.findings:
            raise ValueError("without any_finding there must be findings, or nothing is answered")
        if (self.architecture == "convolutional") != bool(self.filters):
            raise ValueError("architecture convolutional and filters go together")
        if self.block_dropout and not self.filters:
            raise ValueError("block_dropout is for architecture convolutional")
        return self


class LossRecipe(Section):
    """Weight of the two-way cross-entropy of *any finding*, and of the mean binary cross-entropy of the findings.

    ``class_weights`` weigh each finding by its share of train films: ``balanced`` multiplies positives by N/P;
    ``frequency`` multiplies positives by N/(P+N) and negatives by P/(P+N) (Rajpurkar et al., arXiv:1711.05225, §2.1).
    Weighting was measured to cost AUC and calibration (ML.md §B): it is for repeating others.
    """

    any_weight: float = Field(default=1.0, ge=0.0)
    findings_weight: float = Field(default=0.0, ge=0.0)
    class_weights: Literal["none", "balanced", "frequency"] = "none"

    @model_validator(mode="after")
    def _weighs_something(self) -> LossRecipe:
        if not self.any_weight and not self.findings_weight:
            raise ValueError("any_weight and findings_weight are both 0: nothing would be learnt")
        if self.class_weights != "none" and not self.findings_weight:
            raise ValueError("class_weights weigh findings, but findings_weight is 0")
        return self


class FeaturesRecipe(Section):
    """Frozen features: ``flip`` is the chance that a train film is mirrored before its features are taken, once."""

    flip: float = Field(default=0.0, ge=0.0, le=1.0)
