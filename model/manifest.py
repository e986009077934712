"""What a bundle says of itself: ``manifest.json``, parsed at the edge (DESIGN §7).

Adding a field is compatible, renaming one is not. Knows no files' contents; ``bundle`` reads and verifies them.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from model.errors import BundleIncompatible
from model.preprocessing import PreprocessingSpec

NETWORK_FILE: Final = "model.onnx"
GOLDEN_FILE: Final = "golden.npz"
GATE_FILE: Final = "gate.npz"

_FILE_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Certificate(_Frozen):
    """What a certified sensitivity rests on: one unhealthy film each of ``positives`` independent patients.

    ``misses`` of them lie below the threshold; with probability ``1 - delta`` over calibrations the share of unhealthy
    films below it is at most ``miss_bound``, which is at most ``alpha``.
    """

    positives: int = Field(ge=1)
    misses: int = Field(ge=0)
    miss_bound: float = Field(ge=0.0, le=1.0)
    alpha: float = Field(gt=0.0, lt=1.0)
    delta: float = Field(gt=0.0, lt=1.0)
    certified_on: date


class Explanation(_Frozen):
    """Where the graph answers with its class activation map ``(n, rows, columns)`` float32.

    The map's mean plus ``base`` is the margin, the log-odds of *any finding* before calibration: nothing of the film is
    left unexplained. ``base`` is the margin of no film features, for unknown age and sex.
    """

    output_name: str
    base: float


class GateStatistics(_Frozen):
    """Where the graph answers with its embedding ``(n, d)`` float32, and how far a chest film may lie from the others.

    ``limit`` is the ``percentile`` of the squared Mahalanobis distance of ``films`` films that the network learned
    from or was selected on. Mean and covariance are arrays of ``gate.npz``.
    """

    output_name: str
    limit: float = Field(gt=0.0)
    percentile: float = Field(gt=50.0, lt=100.0)
    films: int = Field(ge=1)


class OperatingPoint(_Frozen):
    """A named threshold with its evidence.

    ``threshold`` is a calibrated probability; a film at or above it is flagged, so 0 flags everything.
    ``positives`` and ``negatives`` count the films that the figures were measured on, named by ``evidence``.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_.:-]{0,31}$")
    threshold: float = Field(ge=0.0, le=1.0)
    evidence: str
    certificate: Certificate | None = None
    positives: int = Field(ge=0)
    negatives: int = Field(ge=0)
    sensitivity: float | None = Field(default=None, ge=0.0, le=1.0)
    specificity: float | None = Field(default=None, ge=0.0, le=1.0)
    f3: float | None = Field(default=None, ge=0.0, le=1.0)
    f3_flag_everything: float | None = Field(default=None, ge=0.0, le=1.0)


class Manifest(_Frozen):
    """What a bundle says of itself. Adding a field is compatible, renaming one is not.

    ``files`` maps every other file of the directory to its sha256. ``golden_probabilities`` are the probabilities of
    the films in ``golden.npz`` (key ``tensors``, ``(n, 1, s, s)`` uint8, and ``age_sex``, ``(n, 2)`` float32, where the
    graph takes it), computed by the exported graph.
    ``prior_shift`` is what the graph adds to the calibrated logit for a site's own share of unhealthy films.

    ``probability_rule`` says what ``probability`` rests on: ``softmax`` is the network's own answer to *any finding*;
    ``any_of_findings`` is 1 - prod(1 - p) over its findings, before calibration. The calibrated logit is the margin
    over ``temperature`` plus ``calibration_offset``. ``age_sex_input_name`` names the graph's optional second input,
    ``(n, 2)`` float32 as ``model.demographics`` encodes it; NaN is unknown.
    """

    schema_version: Literal[1]
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$")
    version: str = Field(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+([+.-][A-Za-z0-9.-]+)?$")
    labels: tuple[str, ...] = ()
    preprocessing: PreprocessingSpec
    input_name: str = "film"
    output_name: str = "probability"
    findings_output_name: str | None = None
    age_sex_input_name: str | None = None
    probability_rule: Literal["softmax", "any_of_findings"] = "softmax"
    explanation: Explanation | None = None
    gate: GateStatistics | None = None
    files: dict[str, str]
    opset: int = Field(ge=7)
    precision: Literal["fp32", "int8"] = "fp32"
    temperature: float = Field(gt=0.0)
    calibration_offset: float = 0.0
    prior_shift: float = 0.0
    operating_points: tuple[OperatingPoint, ...] = Field(min_length=1)
    default_operating_point: str
    golden_probabilities: tuple[float, ...] = Field(min_length=1)
    golden_tolerance: float = Field(default=1e-3, gt=0.0, le=0.01)
    training_data: str
    licence: str
    recipe_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    commit: str

    @model_validator(mode="after")
    def _is_consistent(self) -> Manifest:
        names = [point.name for point in self.operating_points]
        if len(set(names)) != len(names):
            raise ValueError("operating point names are not unique")
        if self.default_operating_point not in names:
            raise ValueError("default_operating_point is not among operating_points")
        if bool(self.labels) != (self.findings_output_name is not None):
            raise ValueError("labels and findings_output_name go together")
        if self.probability_rule == "any_of_findings" and not self.labels:
            raise ValueError("probability_rule any_of_findings needs labels")
        if not {NETWORK_FILE, GOLDEN_FILE} <= set(self.files):
            raise ValueError(f"files must name {NETWORK_FILE} and {GOLDEN_FILE}")
        if (self.gate is not None) != (GATE_FILE in self.files):
            raise ValueError(f"gate and {GATE_FILE} go together")
        if not all(_FILE_NAME.match(name) for name in self.files):
            raise ValueError("a file name is not a plain name")
        return self

    def operating_point(self, name: str | None = None) -> OperatingPoint:
        """Return the named operating point, or the default one.

        Raises
        ------
        BundleIncompatible
            If the bundle has no point of that name.
        """
        wanted = name or self.default_operating_point
        for point in self.operating_points:
            if point.name == wanted:
                return point
        known = ", ".join(point.name for point in self.operating_points)
        raise BundleIncompatible(f"bundle {self.name} has no operating point '{wanted}'; it has: {known}")
