"""MODEL_CARD.md, written from the report so that no figure in it can differ from one that was measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.recipe import Recipe
from training.reporting.card import chapters
from training.reporting.card.introduction import introduction


def write_card(recipe: Recipe, report: Mapping[str, Any]) -> str:
    """Return the card of the run whose ``report`` this is; publish has added the ``commits`` of its steps."""
    sections = (
        introduction(recipe, report),
        chapters.claims(report),
        chapters.probability(report),
        chapters.USE,
        chapters.operating_points(report),
        chapters.figures(report),
        chapters.elsewhere(report),
        chapters.findings(report),
        chapters.findings_together(report),
        chapters.gate(report["export"]["gate"]),
        chapters.heat_map(report),
        chapters.variants(report),
        chapters.data(recipe, report),
        chapters.limits(report["ships"]),
        chapters.remarks(recipe, report["provenance"]),
    )
    return "\n".join(section for section in sections if section)


__all__ = ["write_card"]
