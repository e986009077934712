"""How something learns: augmentation, optimisation, stages, pretraining, averaging."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from training.recipe.section import Section


class AugmentationRecipe(Section):
    """Random changes to a tensor after ``preprocess``, training only. All 0 is none. No flips by default (ML.md §E).

    ``gamma``, ``contrast`` and ``brightness`` are relative spreads; ``noise`` is the largest standard deviation in gray
    levels over 255; ``corner`` is the chance that one corner patch of up to a quarter of the side is blacked out
    (burned-in letters); ``flip`` is the chance of a left-right flip. ``height_shift`` moves up and down only, on top of
    ``shift``; ``shear`` is in degrees; ``fill`` is what moves in from outside: black, or the film mirrored at its edge.
    """

    degrees: float = Field(default=0.0, ge=0.0, le=45.0)
    shift: float = Field(default=0.0, ge=0.0, le=0.5)
    zoom: float = Field(default=0.0, ge=0.0, le=0.5)
    contrast: float = Field(default=0.0, ge=0.0, lt=1.0)
    brightness: float = Field(default=0.0, ge=0.0, lt=1.0)
    gamma: float = Field(default=0.0, ge=0.0, lt=1.0)
    noise: float = Field(default=0.0, ge=0.0, le=0.2)
    corner: float = Field(default=0.0, ge=0.0, le=1.0)
    flip: float = Field(default=0.0, ge=0.0, le=1.0)
    height_shift: float = Field(default=0.0, ge=0.0, le=0.5)
    shear: float = Field(default=0.0, ge=0.0, le=45.0)
    fill: Literal["black", "reflect"] = "black"


class FitRecipe(Section):
    """One optimisation: how long, in what steps, and with what damping.

    ``keep`` says which epoch survives: the ``best`` by ``monitor`` on select patients, or the ``last``, where the
    schedule ends at 0 and select patients are so few that their best epoch is a lucky one. ``patience`` ends it after
    so many epochs without a better one. ``monitor`` is the AUC of any finding (``auc``), the mean AUC of the findings,
    the loss, or accuracy or recall at .5: of any finding, or, without a logit for it, over all labels as Keras counts.

    ``schedule`` ``plateau`` multiplies the rate by ``plateau_factor`` when the loss on select patients has not fallen
    for more than ``plateau_patience`` epochs (torch's ReduceLROnPlateau). ``epsilon`` is Adam's; Keras' is 1e-7.
    ``batches_per_epoch`` ends an epoch early; the next one draws anew.
    """

    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=2)
    optimiser: Literal["sgd", "adam", "adamw"]
    learning_rate: float = Field(gt=0.0)
    momentum: float = Field(default=0.9, ge=0.0, lt=1.0)
    epsilon: float = Field(default=1e-8, gt=0.0)
    weight_decay: float = Field(default=0.0, ge=0.0)
    schedule: Literal["constant", "cosine", "plateau"] = "constant"
    plateau_patience: int = Field(default=1, ge=0)
    plateau_factor: float = Field(default=0.2, gt=0.0, lt=1.0)
    warmup: float = Field(default=0.0, ge=0.0, lt=1.0)
    ema_decay: float = Field(default=0.0, ge=0.0, lt=1.0)
    clip_norm: float | None = Field(default=None, gt=0.0)
    bf16: bool = False
    keep: Literal["best", "last"] = "best"
    patience: int | None = Field(default=None, ge=1)
    monitor: Literal["auc", "findings_auc", "loss", "accuracy", "recall"] = "auc"
    batches_per_epoch: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _has_one_schedule(self) -> FitRecipe:
        if self.schedule == "plateau" and self.warmup:
            raise ValueError("schedule plateau has no warmup")
        return self


class StageRecipe(FitRecipe):
    """A stage of fine-tuning: which layers learn, at which size, and how much slower the lower ones.

    The head always learns; with it nothing else (``head``), the backbone's last block (ResNet50: layer4.2), its last
    stage (layer4), or the whole of it. ``learning_rate`` is the head's; the backbone's last stage learns at
    ``backbone_learning_rate`` (default: the same) and each stage below at ``layer_decay`` times the one above it.
    ``size`` is the side of the films in pixels (default: that of ``preprocessing``). ``compile`` asks for
    ``torch.compile``.
    """

    learns: Literal["head", "last_block", "last_stage", "whole"]
    backbone_learning_rate: float | None = Field(default=None, gt=0.0)
    layer_decay: float = Field(default=1.0, gt=0.0, le=1.0)
    size: int | None = Field(default=None, ge=28, le=1024)
    compile: bool = False


class PretrainRecipe(FitRecipe):
    """Self-supervised pretraining on films without labels (``cxr-train pretrain``), at ``size`` pixels a side.

    A random share of each film's blocks, up to ``masked``, is painted gray; gradients of the whole film are predicted.
    Its own ``augmentation`` may be stronger than that of a stage, because it cannot hide a finding from its label.
    """

    size: int = Field(ge=28, le=1024)
    masked: float = Field(default=0.6, ge=0.0, lt=1.0)
    augmentation: AugmentationRecipe = AugmentationRecipe()


class AveragingRecipe(Section):
    """Uniform average of the weights of several fine-tunes that start from one network and differ by seed alone.

    Source: Wortsman et al., ICML 2022 ("model soups").
    """

    members: int = Field(default=1, ge=1, le=20)
