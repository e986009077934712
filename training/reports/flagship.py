"""The product's own network beside the five: its figures as its bundle's report and the training log have them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.errors import RunError
from training.statistics.figures import show

BUNDLE = "nih-triage-128"
_LOG = Path(__file__).resolve().parent.parent / "LOG.md"
_ROW = re.compile(r"\| AUC \| (\.\d+) \((\.\d+) to (\.\d+)\);")
_FILMS = re.compile(r"cross-validated by patient, ([\d,]+) films, ([\d,]+) patients")


@dataclass(frozen=True, kw_only=True)
class Flagship:
    """AUC of the shipped recipe over patients it never saw, and of the shipped bundle on its own test patients.

    ``labelled`` and ``unlabelled`` are the films that the bundle learnt from.
    """

    auc: float
    low: float
    high: float
    films: str
    patients: str
    own_auc: str
    own_films: int
    labelled: int
    unlabelled: int


def read_flagship(bundles: Path) -> Flagship:
    """Return the flagship's figures; ``bundles`` is the folder of shipped bundles.

    The cross-validation is quoted from the newest entry of ``training/LOG.md`` that names the bundle.

    Raises
    ------
    RunError
        If the log or the bundle's report does not have them.
    """
    entries = re.split(r"^## ", _LOG.read_text(encoding="utf-8"), flags=re.MULTILINE)
    entry = next((each for each in entries if BUNDLE in each.partition("\n")[0]), "")
    row, films = _ROW.search(entry), _FILMS.search(entry)
    if row is None or films is None:
        raise RunError(f"{_LOG.name} has no entry with the cross-validated AUC of {BUNDLE}")
    try:
        report: dict[str, Any] = json.loads((bundles / BUNDLE / "report.json").read_text(encoding="utf-8"))
    except OSError as error:
        raise RunError(f"{bundles} has no report of {BUNDLE} ({error.strerror})") from error
    provenance, train = report["provenance"], report["provenance"]["parts"]["train"]
    return Flagship(
        auc=float(row[1]),
        low=float(row[2]),
        high=float(row[3]),
        films=films[1],
        patients=films[2],
        own_auc=show(report["test"]["auc"]),
        own_films=report["test"]["films"],
        labelled=train["films"] - train["disputed"],
        unlabelled=provenance["init"]["films"],
    )
