"""What a training run is asked to do, parsed at the edge: TOML in, frozen objects out.

An unknown key is an error that names the key. A recipe may carry presets, tables that override its own values for
another machine (``[presets.cpu.preprocessing] size = 128``). The resolved recipe is written into the run and its
sha256 into the bundle, so that a figure can always be traced to the values behind it.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from model.preprocessing import PreprocessingSpec
from training.errors import RecipeError

F3_POINT = "f3"

Share = Annotated[float, Field(gt=0.0, lt=1.0)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataRecipe(_Frozen):
    """Which films, and how patients are dealt out to the four parts.

    ``missing_images`` says what a row without a film means: a broken download (``error``), or a table that covers more
    than is at hand (``skip``). ``leave_out_disputed`` keeps films whose two readings contradict each other out of
    everything but a second look at the test part.
    """

    reader: Literal["nih"] = "nih"
    split: Literal["patient", "image"] = "patient"
    official_test: bool = False
    train: Share
    select: Share
    calibrate: Share
    test: Share
    leave_out_disputed: bool = True
    missing_images: Literal["error", "skip"] = "error"

    @model_validator(mode="after")
    def _shares_sum_to_one(self) -> DataRecipe:
        total = self.train + self.select + self.calibrate + self.test
        if abs(total - 1.0) > 1e-6:
            raise ValueError(f"train + select + calibrate + test must be 1, not {total:g}")
        return self


class NetworkRecipe(_Frozen):
    """A residual network with torchvision's keys, global average pooling, and a tanh layer before two logits.

    ``gray_mean`` and ``gray_std`` normalise pixels in 0..1 inside the graph; one pair for all channels, so that the
    three-channel stem of an ImageNet file folds into one channel without changing a single output.
    """

    architecture: Literal["resnet18", "resnet50"] = "resnet50"
    hidden: int = Field(ge=1, le=4096)
    dropout: float = Field(ge=0.0, lt=1.0)
    gray_mean: float = Field(default=0.449, gt=0.0, lt=1.0)
    gray_std: float = Field(default=0.226, gt=0.0)


class AugmentationRecipe(_Frozen):
    """Random changes to a tensor after ``preprocess``, training only. All 0 is none. No flips (ML.md §E)."""

    degrees: float = Field(default=0.0, ge=0.0, le=45.0)
    shift: float = Field(default=0.0, ge=0.0, le=0.5)
    zoom: float = Field(default=0.0, ge=0.0, le=0.5)
    contrast: float = Field(default=0.0, ge=0.0, lt=1.0)
    brightness: float = Field(default=0.0, ge=0.0, lt=1.0)


class FitRecipe(_Frozen):
    """One optimisation: how long, in what steps, and with what damping.

    ``keep`` says which epoch survives: the ``best`` by AUC on select patients, or the ``last``, where the schedule ends
    at 0 and select patients are so few that their best epoch is a lucky one.
    """

    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=2)
    optimiser: Literal["sgd", "adamw"]
    learning_rate: float = Field(gt=0.0)
    momentum: float = Field(default=0.9, ge=0.0, lt=1.0)
    weight_decay: float = Field(default=0.0, ge=0.0)
    schedule: Literal["constant", "cosine"] = "constant"
    warmup: float = Field(default=0.0, ge=0.0, lt=1.0)
    ema_decay: float = Field(default=0.0, ge=0.0, lt=1.0)
    clip_norm: float | None = Field(default=None, gt=0.0)
    bf16: bool = False
    keep: Literal["best", "last"] = "best"


def certified_name(sensitivity: float) -> str:
    """Return the name of the operating point that certifies ``sensitivity``: ``sens95`` for .95."""
    return f"sens{sensitivity * 100:g}".replace(".", "")


class ThresholdRecipe(_Frozen):
    """Which operating points are certified, and how sure their certificate is.

    ``sens95`` is certified so that the true sensitivity is at least .95 with probability ``confidence``.
    """

    confidence: float = Field(default=0.95, gt=0.5, lt=1.0)
    certified: tuple[Annotated[float, Field(gt=0.5, lt=1.0)], ...] = (0.95,)
    default: str = "sens95"

    @model_validator(mode="after")
    def _default_is_one_of_the_points(self) -> ThresholdRecipe:
        names = [F3_POINT, *(certified_name(sensitivity) for sensitivity in self.certified)]
        if len(set(names)) < len(names):
            raise ValueError(f"certified names a point twice: {', '.join(names)}")
        if self.default not in names:
            raise ValueError(f"default is '{self.default}', but the points are: {', '.join(names)}")
        return self


class ExportRecipe(_Frozen):
    """How the graph is written, and how closely it must follow the network."""

    opset: int = Field(default=20, ge=18)
    half_precision_weights: bool = True
    parity_tolerance: float = Field(default=1e-5, gt=0.0)
    parity_films: int = Field(default=64, ge=1)


class EvaluationRecipe(_Frozen):
    """Bootstrap of patients behind every interval."""

    bootstrap: int = Field(default=2000, ge=100)


class BundleRecipe(_Frozen):
    """What the published bundle calls itself and says of its data; ``remarks`` go into the card as they are."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$")
    version: str = Field(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$")
    training_data: str
    licence: str
    remarks: tuple[str, ...] = ()


class Recipe(_Frozen):
    """A whole training run. ``finetune`` follows given weights (``--init``), ``scratch`` takes its place without."""

    seed: int = Field(ge=0)
    bundle: BundleRecipe
    data: DataRecipe
    preprocessing: PreprocessingSpec
    network: NetworkRecipe
    augmentation: AugmentationRecipe = AugmentationRecipe()
    head: FitRecipe
    finetune: FitRecipe
    scratch: FitRecipe
    threshold: ThresholdRecipe = ThresholdRecipe()
    export: ExportRecipe = ExportRecipe()
    evaluation: EvaluationRecipe = EvaluationRecipe()

    @property
    def sha256(self) -> str:
        """Digest of the resolved values; presets are already applied, comments and order do not matter."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def read_recipe(path: Path, preset: str | None = None) -> Recipe:
    """Parse a recipe file, or a shipped recipe named without suffix, and apply one of its presets.

    Raises
    ------
    RecipeError
        If the file cannot be read, is no TOML, has no such preset, or holds an unknown key or a bad value; the message
        names the key.
    """
    path = shipped_recipes().get(str(path), path)
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"cannot read the recipe {path} ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not TOML: {error}") from error
    presets = document.pop("presets", {})
    if preset is not None:
        if preset not in presets:
            raise RecipeError(f"{path} has no preset '{preset}'; it has: {', '.join(presets) or 'none'}")
        document = _overlaid(document, presets[preset])
    return parse_recipe(document, source=str(path))


def shipped_recipes() -> dict[str, Path]:
    """Return the recipes that come with this package, by name."""
    return {path.stem: path for path in sorted((Path(__file__).parent / "recipes").glob("*.toml"))}


def parse_recipe(document: Mapping[str, Any], *, source: str) -> Recipe:
    """Return the recipe in ``document``; ``source`` is what error messages call it.

    Raises
    ------
    RecipeError
        On an unknown key, a missing one, or a value out of bounds.
    """
    try:
        return Recipe.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "recipe"
        reason = "unknown key" if first["type"] == "extra_forbidden" else first["msg"]
        raise RecipeError(f"{source}: {key}: {reason}") from error


def _overlaid(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[key] = _overlaid(below, value)
        else:
            merged[key] = value
    return merged
