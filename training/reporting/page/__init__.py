"""``report.html``: the whole report as one page that opens anywhere, today and in ten years.

One file: style and pictures are inside, nothing is fetched, and it reads fully without its one small script. Written
from ``report.json`` and the plots drawn from it; knows no films and no network.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from training.provenance import patients_known
from training.reporting.origins import UNKNOWN_PATIENTS, data_sentence, pretraining_sentence
from training.reporting.page.sections import sections
from training.reporting.verdicts import statements

_TEMPLATE = "report.html.j2"


def write_page(report: Mapping[str, Any], folder_of_plots: Path) -> str:
    """Return the page as HTML.

    ``folder_of_plots`` holds ``<name>.png`` of ``training.reporting.plots``; a picture that is not there is named as
    missing.

    Raises
    ------
    KeyError
        If ``report`` lacks a figure that the page shows.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(_TEMPLATE).render(
        bundle=report["bundle"],
        test=report["test"],
        notes=(report["positive_class"], report["scored_by"], report["intervals"]),
        warnings=_warnings(report["provenance"]),
        origins=(data_sentence(report["provenance"]), pretraining_sentence(report["provenance"])),
        statements=statements(report),
        sections=sections(report),
        pictures={path.stem: _data_uri(path) for path in sorted(folder_of_plots.glob("*.png"))},
        cost_curve=_cost_curve(report),
        default_threshold=report["test"]["operating_points"][report["operating_points"]["default"]]["threshold"],
        provenance=json.dumps(
            {name: report[name] for name in ("provenance", "export", "operating_points")}, indent=2, sort_keys=True
        ),
    )


def _warnings(provenance: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what a reader must know before any figure."""
    shared = provenance["shared_patients"]
    leaks = f"{shared:,} patients are in more than one part of the split: every figure flatters." if shared else ""
    return tuple(filter(None, (leaks, "" if patients_known(provenance) else UNKNOWN_PATIENTS)))


def _data_uri(path: Path) -> str:
    return "data:image/png;base64," + b64encode(path.read_bytes()).decode("ascii")


def _cost_curve(report: Mapping[str, Any]) -> dict[str, list[float]]:
    """Return the explorer's points, thresholds rising; above the highest score nothing is flagged any more."""
    curve = report["curves"]["decision_cost"]
    missed = 1000 * (report["test"]["prevalence"] or 0.0)
    beyond = {"threshold": 1.0, "cleared_per_1000": 1000.0, "missed_per_1000": missed}
    ends_below = not curve["threshold"] or curve["threshold"][-1] < beyond["threshold"]
    return {name: [*curve[name], *([end] if ends_below else [])] for name, end in beyond.items()}
