"""What a training run is asked to do: frozen objects with bounds, parsed at the edge by ``recipe_files``.

An unknown key is an error that names the key. The resolved recipe is written into the run and its sha256 into the
bundle, so that a figure can always be traced to the values behind it.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from model.preprocessing import PreprocessingSpec

F3_POINT = "f3"

Share = Annotated[float, Field(gt=0.0, lt=1.0)]
OpenUnit = Annotated[float, Field(gt=0.5, lt=1.0)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ColumnsRecipe(_Frozen):
    """Names of the columns of a ``csv`` collection; only image and findings must exist.

    A row without patient column is a patient of its own. ``findings`` cells hold labels joined by ``separator``.
    """

    image: str = "image"
    findings: str = "findings"
    patient: str | None = None
    age: str | None = None
    sex: str | None = None
    view: str | None = None
    part: str | None = None
    separator: str = "|"


class DataRecipe(_Frozen):
    """Which films, and how patients are dealt out to the four parts.

    ``reader`` names the collection's form. ``healthy`` are the labels (class names, folder names) that mean no finding.
    ``missing_images`` says what a row without a film means: a broken download (``error``), or a table that covers more
    than is at hand (``skip``). ``leave_out_disputed`` keeps films that a second reading called normal out of everything
    but a second look at the test part.

    ``test_fold`` makes the test part one of ``folds`` equal patient-wise folds instead of the share ``test``, whose
    films then go to the other parts in proportion: cross-validation runs the line once for each.
    """

    reader: Literal["nih", "medmnist", "folders", "csv", "dicom"] = "nih"
    columns: ColumnsRecipe = ColumnsRecipe()
    healthy: tuple[str, ...] = ("No Finding",)
    split: Literal["patient", "image"] = "patient"
    official_test: bool = False
    train: Share
    select: Share
    calibrate: Share
    test: Share
    folds: int = Field(default=5, ge=2, le=20)
    test_fold: int | None = Field(default=None, ge=0)
    leave_out_disputed: bool = True
    missing_images: Literal["error", "skip"] = "error"

    @model_validator(mode="after")
    def _is_consistent(self) -> DataRecipe:
        total = self.train + self.select + self.calibrate + self.test
        if abs(total - 1.0) > 1e-6:
            raise ValueError(f"train + select + calibrate + test must be 1, not {total:g}")
        if self.test_fold is not None and self.test_fold >= self.folds:
            raise ValueError(f"test_fold counts from 0 and must be below folds ({self.folds})")
        if self.test_fold is not None and self.official_test:
            raise ValueError("test_fold and official_test cannot both choose the test part")
        return self


class NetworkRecipe(_Frozen):
    """A residual network with torchvision's keys, global average pooling, and a tanh layer before the logits.

    The first two logits are healthy and unhealthy (softmax); one sigmoid logit follows for each of ``findings``.
    ``gray_mean`` and ``gray_std`` normalise pixels in 0..1 inside the graph; one pair for all channels, so that the
    three-channel stem of an ImageNet file folds into one channel without changing a single output.
    """

    architecture: Literal["resnet18", "resnet50"] = "resnet50"
    hidden: int = Field(ge=1, le=4096)
    dropout: float = Field(ge=0.0, lt=1.0)
    gray_mean: float = Field(default=0.449, gt=0.0, lt=1.0)
    gray_std: float = Field(default=0.226, gt=0.0)
    findings: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _findings_are_distinct(self) -> NetworkRecipe:
        if len(set(self.findings)) != len(self.findings):
            raise ValueError("findings names a label twice")
        return self


class LossRecipe(_Frozen):
    """Weight of the two-way cross-entropy of *any finding*, and of the mean binary cross-entropy of the findings."""

    any_weight: float = Field(default=1.0, gt=0.0)
    findings_weight: float = Field(default=0.0, ge=0.0)


class AugmentationRecipe(_Frozen):
    """Random changes to a tensor after ``preprocess``, training only. All 0 is none. No flips by default (ML.md §E).

    ``gamma``, ``contrast`` and ``brightness`` are relative spreads; ``noise`` is the largest standard deviation in gray
    levels over 255; ``corner`` is the chance that one corner patch of up to a quarter of the side is blacked out
    (burned-in letters); ``flip`` is the chance of a left-right flip.
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


class FitRecipe(_Frozen):
    """One optimisation: how long, in what steps, and with what damping.

    ``keep`` says which epoch survives: the ``best`` by AUC on select patients, or the ``last``, where the schedule ends
    at 0 and select patients are so few that their best epoch is a lucky one. ``patience`` ends it after so many epochs
    without a better one.
    """

    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=2)
    optimiser: Literal["sgd", "adam", "adamw"]
    learning_rate: float = Field(gt=0.0)
    momentum: float = Field(default=0.9, ge=0.0, lt=1.0)
    weight_decay: float = Field(default=0.0, ge=0.0)
    schedule: Literal["constant", "cosine"] = "constant"
    warmup: float = Field(default=0.0, ge=0.0, lt=1.0)
    ema_decay: float = Field(default=0.0, ge=0.0, lt=1.0)
    clip_norm: float | None = Field(default=None, gt=0.0)
    bf16: bool = False
    keep: Literal["best", "last"] = "best"
    patience: int | None = Field(default=None, ge=1)


class StageRecipe(FitRecipe):
    """A stage of fine-tuning: which layers learn, at which size, and how much slower the lower ones.

    The head always learns; with it the backbone's last block (layer4.2), its last stage (layer4), or the whole of it.
    ``learning_rate`` is the head's; the backbone's last stage (layer4) learns at ``backbone_learning_rate`` (default:
    the same) and each stage below at ``layer_decay`` times the one above it. ``size`` is the side of the films in
    pixels (default: that of ``preprocessing``). ``compile`` asks for ``torch.compile``.
    """

    learns: Literal["last_block", "last_stage", "whole"]
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


class AveragingRecipe(_Frozen):
    """Uniform average of the weights of several fine-tunes that start from one network and differ by seed alone.

    Source: Wortsman et al., ICML 2022 ("model soups").
    """

    members: int = Field(default=1, ge=1, le=20)


def certified_name(sensitivity: float) -> str:
    """Return the name of the operating point that certifies ``sensitivity``: ``sens95`` for .95, ``sens975``."""
    return f"sens{sensitivity * 100:g}".replace(".", "")


def expected_name(sensitivity: float) -> str:
    """Return the name of the operating point that promises ``sensitivity`` on average: ``expected95`` for .95."""
    return f"expected{sensitivity * 100:g}".replace(".", "")


def cost_name(ratio: float) -> str:
    """Return the name of the operating point for a cost ratio of a miss to a needless read: ``cost:10`` for 10."""
    return f"cost:{ratio:g}"


class ThresholdRecipe(_Frozen):
    """Which operating points are made, and how sure a certificate is.

    ``sens95`` is certified so that the true sensitivity is at least .95 with probability ``confidence``; ``expected95``
    holds .95 on average over calibrations (conformal risk control); ``cost:10`` costs least where a miss costs ten
    needless reads.
    """

    confidence: OpenUnit = 0.95
    certified: tuple[OpenUnit, ...] = (0.95,)
    expected: tuple[OpenUnit, ...] = ()
    costs: tuple[Annotated[float, Field(gt=0.0, le=10_000.0)], ...] = ()
    default: str = "sens95"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all points, in the order they are made."""
        return (
            F3_POINT,
            *(certified_name(sensitivity) for sensitivity in self.certified),
            *(expected_name(sensitivity) for sensitivity in self.expected),
            *(cost_name(ratio) for ratio in self.costs),
        )

    @model_validator(mode="after")
    def _default_is_one_of_the_points(self) -> ThresholdRecipe:
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"certified, expected or costs name a point twice: {', '.join(self.names)}")
        if self.default not in self.names:
            raise ValueError(f"default is '{self.default}', but the points are: {', '.join(self.names)}")
        return self


class ExportRecipe(_Frozen):
    """How the graph is written, which variants of it are tried, and how closely it must follow the network.

    ``variants`` are exported, measured and certified each on its own graph. ``ships`` names the one that is published;
    ``best`` is int8 where it costs at most ``int8_auc_loss`` on calibrate films, else fp32; these films certify it too,
    so that its certificate is exact only where ``ships`` names a graph. Tolerances may be smaller than the product's
    own, which ``publish`` asks for whatever they say. ``site_prevalence`` shifts the served probabilities from the
    calibrate part's share of unhealthy films to a site's (thresholds move along, so that no decision changes).
    """

    opset: int = Field(default=20, ge=18)
    half_precision_weights: bool = True
    variants: tuple[Literal["fp32", "int8"], ...] = ("fp32",)
    ships: Literal["fp32", "int8", "best"] = "fp32"
    int8_auc_loss: float = Field(default=0.002, ge=0.0)
    site_prevalence: Share | None = None
    parity_tolerance: float = Field(default=1e-5, gt=0.0)
    parity_films: int = Field(default=64, ge=1)

    @model_validator(mode="after")
    def _ships_what_is_exported(self) -> ExportRecipe:
        if "fp32" not in self.variants:
            raise ValueError("variants must hold fp32, the reference of every other one")
        if self.ships == "int8" and "int8" not in self.variants:
            raise ValueError("ships is int8, but variants does not hold it")
        return self


class GateRecipe(_Frozen):
    """The out-of-distribution gate.

    ``dimensions`` of the embedding in the graph (0 for no gate), and the ``percentile`` of chest films' distance beyond
    which a film is not judged.
    """

    dimensions: int = Field(default=64, ge=0, le=512)
    percentile: float = Field(default=99.5, gt=50.0, lt=100.0)


class EvaluationRecipe(_Frozen):
    """Bootstrap of patients behind every interval, and the prevalences that figures are reweighted to."""

    bootstrap: int = Field(default=2000, ge=100)
    prevalences: tuple[Share, ...] = (0.05, 0.10, 0.25, 0.40, 0.60)


class BundleRecipe(_Frozen):
    """What the published bundle calls itself and says of its data; ``remarks`` go into the card as they are."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$")
    version: str = Field(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$")
    training_data: str
    licence: str
    remarks: tuple[str, ...] = ()


class Recipe(_Frozen):
    """A whole training run.

    ``pretrain`` is read by a command of its own; a run is given what it wrote (``--init``). With given weights the
    stages are frozen features, ``head``, then those of ``finetune``; without, those of ``scratch``.
    """

    seed: int = Field(ge=0)
    bundle: BundleRecipe
    data: DataRecipe
    preprocessing: PreprocessingSpec
    network: NetworkRecipe
    loss: LossRecipe = LossRecipe()
    augmentation: AugmentationRecipe = AugmentationRecipe()
    pretrain: PretrainRecipe | None = None
    head: FitRecipe
    finetune: tuple[StageRecipe, ...] = Field(min_length=1)
    scratch: tuple[StageRecipe, ...] = Field(min_length=1)
    averaging: AveragingRecipe = AveragingRecipe()
    export: ExportRecipe = ExportRecipe()
    gate: GateRecipe = GateRecipe()
    threshold: ThresholdRecipe = ThresholdRecipe()
    evaluation: EvaluationRecipe = EvaluationRecipe()

    @model_validator(mode="after")
    def _findings_are_learnt(self) -> Recipe:
        if bool(self.network.findings) != (self.loss.findings_weight > 0):
            raise ValueError("network.findings and loss.findings_weight go together: name both or neither")
        return self

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sides in pixels of every tensor cache that some stage needs, the served one first."""
        asked = [stage.size for stage in (*self.finetune, *self.scratch) if stage.size is not None]
        return tuple(dict.fromkeys([self.preprocessing.size, *asked]))

    @property
    def sha256(self) -> str:
        """Digest of the resolved values; presets are already applied, comments and order do not matter."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()
