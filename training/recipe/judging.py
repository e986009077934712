"""How what was learnt is judged: thresholds, graphs, gate, evaluation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from training.recipe.section import Section, Share

F3_POINT = "f3"

OpenUnit = Annotated[float, Field(gt=0.5, lt=1.0)]


def certified_name(sensitivity: float) -> str:
    """Return the name of the operating point that certifies ``sensitivity``: ``sens95`` for .95, ``sens975``."""
    return f"sens{sensitivity * 100:g}".replace(".", "")


def expected_name(sensitivity: float) -> str:
    """Return the name of the operating point that promises ``sensitivity`` on average: ``expected95`` for .95."""
    return f"expected{sensitivity * 100:g}".replace(".", "")


def cost_name(ratio: float) -> str:
    """Return the name of the operating point for a cost ratio of a miss to a needless read: ``cost:10`` for 10."""
    return f"cost:{ratio:g}"


class ThresholdRecipe(Section):
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


class ExportRecipe(Section):
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


class GateRecipe(Section):
    """The out-of-distribution gate.

    ``dimensions`` of the embedding in the graph (0 for no gate), and the ``percentile`` of chest films' distance beyond
    which a film is not judged.
    """

    dimensions: int = Field(default=64, ge=0, le=512)
    percentile: float = Field(default=99.5, gt=50.0, lt=100.0)


class EvaluationRecipe(Section):
    """Bootstrap of patients behind every interval, and the prevalences that figures are reweighted to.

    ``findings_threshold`` is where single findings count as called, for precision, recall and F1 (Keras: .5).
    ``activation_maps`` draws what each convolution makes of one unhealthy test film.
    """

    bootstrap: int = Field(default=2000, ge=100)
    prevalences: tuple[Share, ...] = (0.05, 0.10, 0.25, 0.40, 0.60)
    findings_threshold: float = Field(default=0.5, gt=0.0, lt=1.0)
    activation_maps: bool = False
