"""What ``export.json`` says: which graph ships and why, and what was measured on each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from training.errors import RunError

Variant = Literal["fp32", "int8"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class VariantFacts(_Frozen):
    """One graph. Differences and correlations are over the parity films, AUCs over all calibrate films.

    Attributes
    ----------
    explanation_base
        What the mean of the class activation map lacks to the margin where age and sex are unknown or not asked for:
        the head's own leaning.
    completeness_max_difference
        Largest ``|mean(cam) + base - margin|`` with each film's own base, over the largest margin where that is beyond
        1; measured on the graph.
    """

    sha256: str
    graph_bytes: int
    auc_calibrate: float | None
    explanation_base: float
    completeness_max_difference: float
    completeness_tolerance: float


class ReferenceFacts(VariantFacts):
    """The fp32 graph, held against torch: ``parity`` has the largest difference of each output."""

    parity: dict[str, float]
    parity_max_difference: float | None
    parity_films: int
    parity_tolerance: float


class QuantisedFacts(VariantFacts):
    """The int8 graph, held against the fp32 one.

    ``auc_loss`` is positive where int8 is worse. ``max_difference`` and ``mean_difference`` are of probabilities over
    all calibrate films. Milliseconds are the median for one film on one thread, both graphs in turn, on the machine of
    the export: read the ratio.
    """

    auc_loss: float | None
    max_difference: float
    mean_difference: float
    cam_correlation_median: float | None
    cam_correlation_lowest: float | None
    range_films: int
    milliseconds: float
    fp32_milliseconds: float


class Variants(_Frozen):
    """Every graph that was exported."""

    fp32: ReferenceFacts
    int8: QuantisedFacts | None = None

    @property
    def names(self) -> tuple[Variant, ...]:
        """Every exported variant, the reference first."""
        return ("fp32",) if self.int8 is None else ("fp32", "int8")

    def named(self, variant: Variant) -> VariantFacts:
        """Return the facts of one variant.

        Raises
        ------
        RunError
            If it was not exported.
        """
        facts = self.fp32 if variant == "fp32" else self.int8
        if facts is None:
            raise RunError(f"the run has no {variant} graph; name it in export.variants")
        return facts


class GateFacts(_Frozen):
    """The out-of-distribution gate of the graph that ships.

    ``calibrate_films_beyond`` of ``calibrate_films`` films, which the gate has never seen, lie beyond ``limit`` by the
    shipping graph's own embedding. ``sha256`` is that of ``gate.npz``.
    """

    sha256: str
    limit: float = Field(gt=0.0)
    percentile: float
    films: int
    dimensions: int
    calibrate_films: int
    calibrate_films_beyond: int


class ExportFacts(_Frozen):
    """All of ``export.json``. The served logit is ``margin / temperature + calibration_offset + prior_shift``.

    ``calibration_remark`` says so where calibrate films could not tell temperature and offset.
    """

    ships: Variant
    why: str
    opset: int
    temperature: float
    calibration_offset: float = 0.0
    calibration_remark: str | None = None
    prior_shift: float
    calibrate_prevalence: float
    variants: Variants
    gate: GateFacts | None

    def document(self) -> dict[str, Any]:
        """Return what ``export.json`` holds; a variant that was not exported has no key."""
        absent = {"variants": {"int8"}} if self.variants.int8 is None else None
        return self.model_dump(mode="json", exclude=absent)


def write_export_facts(path: Path, facts: ExportFacts) -> None:
    """Write ``export.json``."""
    path.write_text(json.dumps(facts.document(), indent=2) + "\n", encoding="utf-8")


def read_export_facts(path: Path) -> ExportFacts:
    """Return what the export wrote.

    Raises
    ------
    RunError
        If the file is missing or not of this form.
    """
    try:
        return ExportFacts.model_validate_json(path.read_bytes())
    except OSError as error:
        raise RunError(f"cannot read {path} ({error.strerror})") from error
    except ValidationError as error:
        raise RunError(f"{path} is not what this version's export writes: repeat the step export") from error
