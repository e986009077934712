"""MODEL_CARD.md, written from the report so that no figure in it can differ from one that was measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from training.provenance import patients_known
from training.recipe import F3_POINT, Recipe
from training.reporting import tables
from training.reporting.origins import UNKNOWN_PATIENTS, data_sentence, pretraining_sentence
from training.reporting.tables import Table
from training.reporting.verdicts import OWN_OPTIMUM, statements
from training.statistics.figures import show
from training.statistics.tolerances import CERTIFIED_MARGIN, GOLDEN_TOLERANCE

_INTRODUCTION = """\
# {name} {version}

Scores a frontal chest radiograph: how likely is it *unhealthy*, that is, how likely does it carry any finding? A film
at or above the chosen operating point is flagged for a radiologist to look at first.

**Research use only. Not a medical device.** It has no regulatory clearance, no radiologist has checked its labels, and
it must not decide that a film needs no reading. Below the threshold means *not flagged*, never *healthy*.

| | |
|---|---|
| network | {architecture}, average pooling, tanh-{hidden}, softmax-2{findings} |
| before this training | {origin} |
| input | {size} x {size} gray, letterboxed; training and serving decode and preprocess with the same functions |
| data | {training_data}: {dealt_out} |
| licence of the data | {licence} |
| parts | {parts} |
| code | commit {commits}, recipe sha256 `{recipe_sha256}` |
| graph | {ships}, {megabytes:.1f} MB ONNX, opset {opset} |
| parity | fp32 within {parity} of the torch network on {parity_films} films |
| calibration | temperature {temperature:.3f}, prior shift {shift:+.3f}; expected error on test {calibration} |
"""

_USE = """\
## Intended use

Research on sorting a worklist of frontal chest radiographs of adults, so that a radiologist reads flagged films first.
Every film is still read. Not for children, lateral views, other body parts or modalities; not for ruling disease out,
for reporting without a radiologist, or for choosing a treatment.
"""

_NIH_LABELS = """\
Labels were mined from reports by software (Wang et al., CVPR 2017), about 90 % of them right. Errors limit what any
network can learn from them and what any figure here can mean. Cite: Wang X, Peng Y, Lu L, Lu Z, Bagheri M, Summers RM.
ChestX-ray8: Hospital-scale Chest X-ray Database and Benchmarks on Weakly-Supervised Classification and Localization of
Common Thorax Diseases. CVPR 2017.
"""

_LIMITS = """\
## Limits

- Films of one collection, digitised and windowed there. Other devices, other countries, children, and films with
  another share of unhealthy patients are untested; the table of prevalences reweights, it does not replace films.
- Bedside films (AP) show sicker patients. A network can score by recognising the view; the view-only baseline and the
  figures within each view say how far this one does.
- A certificate holds for patients like those it was made on, on this very graph as onnxruntime computes it on the CPU,
  and for one film per patient. A worker on another device has to answer the golden inputs within {tolerance:g}, or it
  refuses the bundle; films that close to a threshold may be decided otherwise there{margin}.
- Subgroups with few patients have no figures: nothing is known about them.
"""

_HEAT_MAP = """\
## Heat map

The graph splits each film's log-odds over its regions: the map's mean plus {base:.4f} is the difference of the two
logits, exact to {completeness:.1e} on real films. It shows where this score comes from. Whether that is where disease
is was not measured.
"""


def write_card(recipe: Recipe, report: Mapping[str, Any]) -> str:
    """Return the card of the run whose ``report`` this is; publish has added the ``commits`` of its steps."""
    sections = (
        _introduction(recipe, report),
        _claims(report),
        _USE,
        _operating_points(report),
        _figures(report),
        _elsewhere(report),
        _findings(report),
        _gate(report["export"]["gate"]),
        _heat_map(report["export"], report["ships"]),
        _chapter("Variants of the graph", (), [tables.variants(report)]),
        _data(recipe, report),
        _limits(report["ships"]),
        _remarks(recipe, report["provenance"]),
    )
    return "\n".join(section for section in sections if section)


def _introduction(recipe: Recipe, report: Mapping[str, Any]) -> str:
    export, parts = report["export"], report["provenance"]["parts"]
    fp32, is_known = export["variants"]["fp32"], patients_known(report["provenance"])
    dealt = "; ".join(
        f"{name} {part['films']} films" + (f" of {part['patients']} patients" if is_known else "")
        for name, part in parts.items()
    )
    shared = f"{report['provenance']['shared_patients']} patients in two of them" if is_known else "patients unknown"
    findings = len(recipe.network.findings)
    return _INTRODUCTION.format(
        name=recipe.bundle.name,
        version=recipe.bundle.version,
        architecture={"resnet50": "ResNet50", "resnet18": "ResNet18"}[recipe.network.architecture],
        hidden=recipe.network.hidden,
        findings=f" and {findings} findings" if findings else "",
        origin=pretraining_sentence(report["provenance"]),
        size=recipe.preprocessing.size,
        training_data=recipe.bundle.training_data,
        dealt_out=data_sentence(report["provenance"]),
        licence=recipe.bundle.licence,
        parts=f"{dealt}; {shared}",
        commits=" and ".join(f"`{commit}`" for commit in dict.fromkeys(report["commits"].values())),
        recipe_sha256=recipe.sha256,
        ships=report["ships"],
        megabytes=export["variants"][report["ships"]]["graph_bytes"] / 1e6,
        opset=export["opset"],
        parity=f"{fp32['parity_max_difference']:.1e}",
        parity_films=fp32["parity_films"],
        temperature=export["temperature"],
        shift=export["prior_shift"],
        calibration=show(report["calibration"]["expected_calibration_error"]),
    )


def _claims(report: Mapping[str, Any]) -> str:
    found = Table(
        caption="What the test patients show",
        head=("claim", "verdict", "evidence"),
        rows=tuple((one.claim, f"**{one.verdict}**", one.evidence) for one in statements(report)),
    )
    words = [
        "*Shown* means that the whole 95 % interval lies on the right side, *held* that a check did not refute it, "
        "*not shown* that these films cannot tell."
    ]
    return _chapter("What it can and cannot do", words, [found])


def _operating_points(report: Mapping[str, Any]) -> str:
    calibrate = report["operating_points"]["calibrate"]
    words = [
        f"The default is `{report['operating_points']['default']}`. Chosen on {calibrate['films']} films of "
        f"{calibrate['patients']} patients{_each_a_film(report)} that neither trained these weights nor are counted "
        "below. A point that these patients cannot certify flags everything.",
    ]
    return _chapter("Operating points", words, [tables.promises(report), tables.certificates(report)])


def _figures(report: Mapping[str, Any]) -> str:
    test = report["test"]
    words = [
        f"{test['films']} films of {test['patients']} patients{_each_a_film(report)} that neither trained nor "
        "calibrated these weights nor chose an epoch; scored by the ONNX file. In brackets 95 % intervals by bootstrap "
        "of patients. Positive means unhealthy.",
        f"AUC **{show(test['auc'])}**; among films of the same view {show(test['view_adjusted_auc'])}.",
        f"At this prevalence ({test['prevalence']:.1%} unhealthy) flagging every film already has the F3 in the table; "
        "`skill` is the share of the way from there to 1, and at or below 0 the network helped nobody.",
    ]
    shown = [
        tables.baselines(report),
        tables.ratios(test, "Test films"),
        tables.f3_figures(test, "Test films"),
        tables.subgroups(report),
    ]
    return _chapter("Figures on test patients", words, shown)


def _elsewhere(report: Mapping[str, Any]) -> str:
    points = (F3_POINT, report["operating_points"]["default"], OWN_OPTIMUM)
    words = ["The same test films, weighted as if another share of them were unhealthy."]
    return _chapter("At other prevalences", words, [tables.prevalences(report, points)])


def _findings(report: Mapping[str, Any]) -> str:
    if not report["findings"]:
        return ""
    return _chapter("Findings", [report["findings_anchors_note"]], [tables.findings(report)])


def _gate(gate: Mapping[str, Any] | None) -> str:
    if gate is None:
        return _chapter("Gate", ["None: films unlike those it learned from are scored like any other."], [])
    words = [
        f"A film whose embedding ({gate['dimensions']} numbers) lies farther from {gate['films']} training films than "
        f"{gate['percentile']:g} % of these do is not assessed (`out_of_distribution`). Of {gate['calibrate_films']} "
        f"calibrate films, which the gate has never seen, {gate['calibrate_films_beyond']} lie beyond.",
    ]
    return _chapter("Gate", words, [])


def _heat_map(export: Mapping[str, Any], ships: str) -> str:
    facts = export["variants"][ships]
    return _HEAT_MAP.format(base=facts["explanation_base"], completeness=facts["completeness_max_difference"])


def _data(recipe: Recipe, report: Mapping[str, Any]) -> str:
    words = [f"{recipe.bundle.training_data}. Licence: {recipe.bundle.licence}."]
    if recipe.data.reader == "nih":
        words.append(_NIH_LABELS.strip())
    shown = []
    if report["disputed"]["films"]:
        words.append(
            "Films that a second reading called normal, most of them against their label, are counted apart: calling "
            "them right or wrong would be a guess."
            + (" They neither trained nor certified." if recipe.data.leave_out_disputed else "")
            + f" With them, AUC {show(report['test_with_disputed_films']['auc'])}."
        )
        shown = [tables.disputed(report)]
    return _chapter("Data, labels and licences", words, shown)


def _limits(ships: str) -> str:
    lowered = f"; certified thresholds are lowered by {CERTIFIED_MARGIN[ships]:g} for it" * bool(
        CERTIFIED_MARGIN[ships]
    )
    return _LIMITS.format(tolerance=GOLDEN_TOLERANCE[ships], margin=lowered)


def _remarks(recipe: Recipe, provenance: Mapping[str, Any]) -> str:
    """Return what the recipe's authors remark, and what the reader of the collection did."""
    remarks = [*recipe.bundle.remarks, *provenance.get("remarks", ())]
    if not patients_known(provenance):
        remarks.insert(0, UNKNOWN_PATIENTS)
    return _chapter("Remarks", [f"- {remark}" for remark in remarks], []) if remarks else ""


def _each_a_film(report: Mapping[str, Any]) -> str:
    return "" if patients_known(report["provenance"]) else " (unknown: each film counts as one)"


def _chapter(title: str, words: Iterable[str], shown: Iterable[Table]) -> str:
    return "\n".join(
        [f"## {title}", "", *(f"{paragraph}\n" for paragraph in words), *(_markdown(one) for one in shown)]
    )


def _markdown(table: Table) -> str:
    rows = [table.head, ("---",) * len(table.head), *table.rows]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([f"*{table.caption}*", "", *lines, ""])
