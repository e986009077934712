"""MODEL_CARD.md, written from the report so that no figure in it can differ from one that was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from training.recipe import Recipe
from training.report import show

_INTRODUCTION = """\
# {name} {version}

Scores a frontal chest radiograph: how likely is it *unhealthy*, that is, how likely does it carry any finding? A film
at or above the chosen operating point is flagged for a radiologist to look at first.

**Research use only. Not a medical device.** It has no regulatory clearance, no radiologist has checked its labels, and
it must not decide that a film needs no reading. Below the threshold means *not flagged*, never *healthy*.

| | |
|---|---|
| network | {architecture}, average pooling, tanh-{hidden}, softmax-2 (the system of report 002), {origin} |
| input | {size} x {size} gray, letterboxed; training and serving decode and preprocess with the same functions |
| data | {training_data} |
| licence of the data | {licence} |
| parts | {parts} |
| code | commit {commits}, recipe sha256 `{recipe_sha256}` |
| graph | {megabytes:.1f} MB ONNX, opset {opset}; within {parity:.1e} of the torch network on {parity_films} films |
| calibration | temperature {temperature:.3f}; expected calibration error on test {calibration:.3f} |
"""

_LABELS = """\
## What it learned from, and what that means

- Labels were mined from reports by software (Wang et al., CVPR 2017), about 90 % of them right. Errors limit what any
  network can learn from them and what any figure here can mean.
- Films whose label a second reading contradicts (`rsna_says_normal`) neither trained nor certified; the last table
  counts them in.
- A collection of one hospital, digitised and windowed there. Other devices, other countries, children, and films with
  another share of unhealthy patients are untested.
- Bedside films (AP) show sicker patients. A network can score by recognising the view; the view-only baseline and the
  figures within each view say how far this one does.

Cite: Wang X, Peng Y, Lu L, Lu Z, Bagheri M, Summers RM. ChestX-ray8: Hospital-scale Chest X-ray Database and Benchmarks
on Weakly-Supervised Classification and Localization of Common Thorax Diseases. CVPR 2017.
"""


def write_card(recipe: Recipe, report: Mapping[str, Any]) -> str:
    """Return the card of the run whose ``report`` this is."""
    sections = (
        _introduction(recipe, report),
        _operating_points(report),
        _test_figures(report["test"], report["baselines"]),
        _LABELS,
        _disputed(report["test_with_disputed_films"]),
        *(
            ["## Remarks", "", *(f"- {remark}" for remark in recipe.bundle.remarks), ""]
            if recipe.bundle.remarks
            else []
        ),
    )
    return "\n".join(sections)


def _introduction(recipe: Recipe, report: Mapping[str, Any]) -> str:
    provenance, export = report["provenance"], report["export"]
    parts = "; ".join(
        f"{name} {part['films']} films of {part['patients']} patients" for name, part in provenance["parts"].items()
    )
    init = provenance["init_sha256"]
    return _INTRODUCTION.format(
        name=recipe.bundle.name,
        version=recipe.bundle.version,
        architecture={"resnet50": "ResNet50", "resnet18": "ResNet18"}[recipe.network.architecture],
        hidden=recipe.network.hidden,
        origin="trained from random weights" if init is None else f"from the weights with sha256 `{init}`",
        size=recipe.preprocessing.size,
        training_data=recipe.bundle.training_data,
        licence=recipe.bundle.licence,
        parts=f"{parts}; no patient in two of them",
        commits=" and ".join(f"`{commit}`" for commit in dict.fromkeys(report["commits"].values())),
        recipe_sha256=recipe.sha256,
        megabytes=export["graph_bytes"] / 1e6,
        opset=export["opset"],
        parity=export["parity_max_difference"],
        parity_films=export["parity_films"],
        temperature=export["temperature"],
        calibration=report["test"]["expected_calibration_error"],
    )


def _operating_points(report: Mapping[str, Any]) -> str:
    document, test = report["operating_points"], report["test"]
    lines = ["## Operating points", "", f"The default is `{document['default']}`.", ""]
    lines += [
        f"- `{point['name']}`: flag at or above {point['threshold']:.4f}. {_sentence(point['evidence'])}"
        for point in document["points"]
    ]
    f3 = test["operating_points"]["f3"]
    everything = test["operating_points"][document["default"]]["f3_flag_everything"]
    lines += [
        "",
        f"At this prevalence ({test['prevalence']:.1%} unhealthy) flagging every film already has F3 {everything:.4f}, "
        f"and the F3 optimum flags {f3['flagged_share']:.1%} of the test films: the closer that is to all of them, the "
        "less it sorts a worklist. A certified sensitivity says what a site gives up, whatever its prevalence, and is "
        "therefore the default.",
        "",
    ]
    return "\n".join(lines)


def _test_figures(test: Mapping[str, Any], baselines: Mapping[str, Any]) -> str:
    lines = [
        "## Figures on test patients",
        "",
        f"{test['films']} films of {test['patients']} patients that neither trained, selected nor calibrated anything, "
        "scored once by the ONNX file. In brackets 95 % intervals by bootstrap of patients. Positive means unhealthy.",
        "",
        f"AUC **{show(test['auc'])}**; among films of the same view {_adjusted(test)}.",
        "",
        "| compared with | its AUC | this network ahead by |",
        "|---|---|---|",
        *(
            f"| {name.replace('_', ' ')} | {show(rival['auc'])} | {show(rival['network_ahead_by'])} |"
            for name, rival in baselines.items()
        ),
        "",
        *_not_ahead(baselines),
        *_point_table("all films", test),
    ]
    for view, figures in test["by_view"].items():
        lines += [f"AUC within {view}: {show(figures['auc'])}.", "", *_point_table(f"{view} films", figures)]
    return "\n".join(lines)


def _adjusted(test: Mapping[str, Any]) -> str:
    value = test["view_adjusted_auc"]
    return "undefined" if value is None else f"{value:.3f}"


def _not_ahead(baselines: Mapping[str, Any]) -> Sequence[str]:
    ties = [name for name, rival in baselines.items() if not (rival["network_ahead_by"]["low"] or 0.0) > 0.0]
    if not ties:
        return []
    names = " and of ".join(name.replace("_", " ") for name in ties)
    return [f"**This network is not shown to be ahead of {names}**, which needs no network at all.", ""]


def _disputed(figures: Mapping[str, Any]) -> str:
    lines = [
        "## With disputed films",
        "",
        f"{figures['films']} films, AUC {show(figures['auc'])}.",
        "",
        *_point_table("all films and disputed ones", figures),
    ]
    return "\n".join(lines)


def _point_table(title: str, figures: Mapping[str, Any]) -> Sequence[str]:
    head = "sensitivity | specificity | F3 | F3 of flagging everything | skill | TN FP FN TP"
    lines = [f"| {title} ({figures['films']}) | {head} |", "|---|---|---|---|---|---|---|"]
    for name, point in figures["operating_points"].items():
        counts = " ".join(str(count) for count in point["confusion"].values())
        everything = point["f3_flag_everything"]
        lines.append(
            f"| {name} ({point['threshold']:.3f}) | {show(point['sensitivity'])} | {show(point['specificity'])} "
            f"| {show(point['f3'])} | {everything:.4f} | {show(point['f3_skill'])} | {counts} |"
        )
    return [*lines, ""]


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."
