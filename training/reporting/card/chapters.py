"""The card's chapters, each a title, words and tables; one that has nothing to say is empty."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from training.provenance import patients_known
from training.recipe import F3_POINT, Recipe
from training.reporting import tables
from training.reporting.architecture import age_sex_sentence, explained, rule_sentence
from training.reporting.origins import UNKNOWN_PATIENTS, calibration_remarks, left_out_sentences
from training.reporting.tables import Table
from training.reporting.verdicts import OWN_OPTIMUM, statements
from training.statistics.figures import show
from training.statistics.tolerances import CERTIFIED_MARGIN, GOLDEN_TOLERANCE

USE = """\
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

The graph splits each film's log-odds over its regions: the map's mean plus {base:.4f} is {explained},
exact to {completeness:.1e} on real films (of itself, where it is above 1). It shows where this score comes from.
Whether that is where disease is was not measured.
"""

_HELD_FIXED = """
Age and sex have no place on the film. The map holds the film's own fixed: they move the number that its mean is added
to, and the one given here is for unknown age and sex.
"""


def claims(report: Mapping[str, Any]) -> str:
    """Return what is claimed and whether it was shown."""
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


def probability(report: Mapping[str, Any]) -> str:
    """Return what the probability rests on, where that is more than the network's own answer to *any finding*."""
    made = report["network"]
    words = [] if made["any_finding"] else [rule_sentence(made)]
    words += [*filter(None, [age_sex_sentence(made)]), *calibration_remarks(report["export"])]
    return _chapter("What the probability rests on", words, []) if words else ""


def operating_points(report: Mapping[str, Any]) -> str:
    """Return what each point promises, and whether test patients contradict it."""
    calibrate = report["operating_points"]["calibrate"]
    words = [
        f"The default is `{report['operating_points']['default']}`. Chosen on {calibrate['films']} films of "
        f"{calibrate['patients']} patients{_each_a_film(report)} that neither trained these weights nor are counted "
        "below. A point that these patients cannot certify flags everything.",
    ]
    return _chapter("Operating points", words, [tables.promises(report), tables.certificates(report)])


def figures(report: Mapping[str, Any]) -> str:
    """Return the figures on test patients."""
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
        tables.positive_classes(report),
        tables.subgroups(report),
    ]
    return _chapter("Figures on test patients", words, shown)


def elsewhere(report: Mapping[str, Any]) -> str:
    """Return the figures at other prevalences."""
    points = (F3_POINT, report["operating_points"]["default"], OWN_OPTIMUM)
    words = ["The same test films, weighted as if another share of them were unhealthy."]
    return _chapter("At other prevalences", words, [tables.prevalences(report, points)])


def findings(report: Mapping[str, Any]) -> str:
    """Return each finding beside published figures; nothing without findings."""
    if not report["findings"]:
        return ""
    return _chapter("Findings", [report["findings_anchors_note"]], [tables.findings(report)])


def findings_together(report: Mapping[str, Any]) -> str:
    """Return the figures over all findings; nothing without findings."""
    section = report["multilabel"]
    if section is None:
        return ""
    words = [
        "Telling a common finding from a rare one ranks most pairs of film and finding rightly: hold the flattened "
        "figures against the second row, and read the macro AUC first. Above Wang et al. 2017 in "
        f"{section['above_wang_2017']} of {section['compared_with_wang_2017']} findings, intervals and few films "
        "aside; six of Wang's figures are second-hand.",
    ]
    return _chapter("All findings together", words, [tables.together(section), tables.per_class(section)])


def gate(facts: Mapping[str, Any] | None) -> str:
    """Return what the gate keeps out."""
    if facts is None:
        return _chapter("Gate", ["None: films unlike those it learned from are scored like any other."], [])
    words = [
        f"A film whose embedding ({facts['dimensions']} numbers) lies farther from {facts['films']} training films "
        f"than {facts['percentile']:g} % of these do is not assessed (`out_of_distribution`). Of "
        f"{facts['calibrate_films']} calibrate films, which the gate has never seen, {facts['calibrate_films_beyond']} "
        "lie beyond.",
    ]
    return _chapter("Gate", words, [])


def heat_map(report: Mapping[str, Any]) -> str:
    """Return what the class activation map adds up to."""
    facts, made = report["export"]["variants"][report["ships"]], report["network"]
    words = _HEAT_MAP.format(
        base=facts["explanation_base"], explained=explained(made), completeness=facts["completeness_max_difference"]
    )
    return words + _HELD_FIXED if made["age_sex"] else words


def variants(report: Mapping[str, Any]) -> str:
    """Return every exported graph beside the one that ships."""
    return _chapter("Variants of the graph", (), [tables.variants(report)])


def data(recipe: Recipe, report: Mapping[str, Any]) -> str:
    """Return where films and labels come from, and what is wrong with them."""
    words = [f"{recipe.bundle.training_data}. Licence: {recipe.bundle.licence}."]
    words += left_out_sentences(report["left_out"])
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


def limits(ships: str) -> str:
    """Return what nobody should expect."""
    lowered = f"; certified thresholds are lowered by {CERTIFIED_MARGIN[ships]:g} for it" * bool(
        CERTIFIED_MARGIN[ships]
    )
    return _LIMITS.format(tolerance=GOLDEN_TOLERANCE[ships], margin=lowered)


def remarks(recipe: Recipe, provenance: Mapping[str, Any]) -> str:
    """Return what the recipe's authors remark, and what the reader of the collection did."""
    remarks = [*recipe.bundle.remarks, *provenance.get("remarks", ())]
    if not patients_known(provenance):
        remarks.insert(0, UNKNOWN_PATIENTS)
    return _chapter("Remarks", [f"- {remark}" for remark in remarks], []) if remarks else ""


def _each_a_film(report: Mapping[str, Any]) -> str:
    return "" if patients_known(report["provenance"]) else " (unknown: each film counts as one)"


def _chapter(title: str, words: Iterable[str], shown: Iterable[Table]) -> str:
    return "\n".join(
        [f"## {title}", "", *(f"{paragraph}\n" for paragraph in words), *(tables.markdown(one) for one in shown)]
    )
