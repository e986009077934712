"""What the report says in plain words: what the network is shown to do, what it is not shown to do, and what failed.

Both the page and the card open with these sentences. Whoever wants to claim more has to measure more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from training.provenance import patients_known
from training.recipe import F3_POINT
from training.reporting.origins import pretraining_sentence, unseen
from training.statistics.figures import show
from training.statistics.scored_films import UNKNOWN

OWN_OPTIMUM = "f3_here"
_CHANCE = 0.5


class Verdict(StrEnum):
    """Whether the figures show what is claimed; an interval that holds the boundary shows nothing.

    A test that does not reject shows nothing either: what passed it has held, no more.
    """

    SHOWN = "shown"
    HELD = "held"
    PARTLY = "partly shown"
    NOT_SHOWN = "not shown"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Statement:
    """One claim, its verdict, and the figures that the verdict rests on."""

    claim: str
    verdict: Verdict
    evidence: str


def statements(report: Mapping[str, Any]) -> tuple[Statement, ...]:
    """Return the claims that every report is held to, in the order in which people ask."""
    return (
        _sorts(report["test"], unseen(report["provenance"])),
        _sees_more_than_the_view(report),
        *(_is_ahead(name, rival) for name, rival in report["baselines"].items()),
        *_sorts_within_findings(report),
        _has_skill(report["test"]),
        _has_skill_elsewhere(report["prevalences"]),
        _keeps_its_certificate(report),
        _keeps_patients_apart(report["provenance"]),
        *_keeps_films_apart(report["provenance"]),
    )


def against(figure: Mapping[str, Any], boundary: float) -> Verdict:
    """Return whether a figure lies above ``boundary`` with its whole interval, below it, or neither."""
    if figure["low"] is None or figure["high"] is None:
        return Verdict.NOT_SHOWN
    if figure["low"] > boundary:
        return Verdict.SHOWN
    return Verdict.FAILED if figure["high"] < boundary else Verdict.NOT_SHOWN


def plain(name: str) -> str:
    """Return a key of the report as people read it."""
    return name.replace("_", " ").replace("hog ", "HOG + ")


def _sorts(test: Mapping[str, Any], whose: str) -> Statement:
    return Statement(
        claim="It ranks unhealthy films above healthy ones",
        verdict=against(test["auc"], _CHANCE),
        evidence=f"AUC {show(test['auc'])} on {test['films']:,} films of {test['patients']:,} {whose}",
    )


def _sees_more_than_the_view(report: Mapping[str, Any]) -> Statement:
    groups = {name: group for name, group in report["subgroups"].get("view", {}).items() if name != UNKNOWN}
    found = [against(group["auc"], _CHANCE) for group in groups.values()]
    within = "; ".join(f"within {name} {show(group['auc'])}" for name, group in groups.items())
    return Statement(
        claim="It sees more than whether the film was taken at the bedside",
        verdict=_together(found),
        evidence=f"view-adjusted AUC {show(report['test']['view_adjusted_auc'])}; {within or 'views are unknown'}",
    )


def _is_ahead(name: str, rival: Mapping[str, Any]) -> Statement:
    return Statement(
        claim=f"It is ahead of {plain(name)}, which needs no network",
        verdict=against(rival["network_ahead_by"], 0.0),
        evidence=f"the baseline's AUC is {show(rival['auc'])}; ahead by {show(rival['network_ahead_by'])} on the same "
        "films",
    )


def _sorts_within_findings(report: Mapping[str, Any]) -> tuple[Statement, ...]:
    """Return whether findings are recognised, which a high AUC over all of them together does not show."""
    section = report["multilabel"]
    if section is None:
        return ()
    ours, known = (
        "undefined" if one["flattened_auc"] is None else f"{one['flattened_auc']:.3f}"
        for one in (section, section["prevalence_only"])
    )
    return (
        Statement(
            claim="It ranks films with a finding above films without, not only common findings above rare ones",
            verdict=against(report["findings_mean_auc"], _CHANCE),
            evidence=f"mean AUC of single findings {show(report['findings_mean_auc'])}; over all together {ours}, "
            f"where knowing only each finding's share of train films gets {known}",
        ),
    )


def _has_skill(test: Mapping[str, Any]) -> Statement:
    point = test["operating_points"][F3_POINT]
    everything = point["f3_flag_everything"]
    baseline = "undefined" if everything is None else f"{everything:.4f}"
    return Statement(
        claim="Its F3 beats flagging every film, at this collection's prevalence",
        verdict=against(point["f3_skill"], 0.0),
        evidence=f"F3 {show(point['f3'])} against {baseline}: skill {show(point['f3_skill'])}",
    )


def _has_skill_elsewhere(rows: list[Mapping[str, Any]]) -> Statement:
    skills = [(row["prevalence"], row["operating_points"][OWN_OPTIMUM]["f3_skill"]) for row in rows]
    return Statement(
        claim="Its F3 would beat flagging every film at a site of another prevalence",
        verdict=_together([against(skill, 0.0) for _, skill in skills]),
        evidence="skill "
        + ("; ".join(f"{show(skill)} at {share:.0%}" for share, skill in skills) or "was not reweighted"),
    )


def _keeps_its_certificate(report: Mapping[str, Any]) -> Statement:
    default = report["operating_points"]["default"]
    claim = f"The default operating point {default} keeps its promise on test patients"
    test = report["certificates"].get(default)
    if test is None:
        everything = report["test"]["operating_points"][default]["threshold"] <= 0.0
        why = "it flags everything, which misses nothing and sorts nothing" if everything else "it promises nothing"
        return Statement(claim=claim, verdict=Verdict.NOT_SHOWN, evidence=why)
    is_known = patients_known(report["provenance"])
    counted = "unhealthy patients missed, one film each" if is_known else "unhealthy films missed, patients unknown"
    held = Verdict.HELD if is_known and not report["provenance"]["shared_patients"] else Verdict.NOT_SHOWN
    return Statement(
        claim=claim,
        verdict=Verdict.FAILED if test["rejected_at_01"] else held,
        evidence=f"{test['misses']} of {test['positives']} {counted}: sensitivity "
        f"{test['observed_sensitivity']:.3f} against {test['claimed_sensitivity']:g}, exact test p = "
        f"{test['p_value']:.3g} (rejected below .01); it flags {_flagged(report['test'], default)} of the films",
    )


def _flagged(test: Mapping[str, Any], point: str) -> str:
    # A point that flags nearly everything keeps any promise.
    return f"{test['operating_points'][point]['flagged_share']:.1%}"


def _keeps_patients_apart(provenance: Mapping[str, Any]) -> Statement:
    claim, shared = "No patient is in two parts of the split", provenance["shared_patients"]
    if not shared and not patients_known(provenance):
        return Statement(claim=claim, verdict=Verdict.NOT_SHOWN, evidence="patients unknown: every film counts as one")
    return Statement(
        claim=claim,
        verdict=Verdict.FAILED if shared else Verdict.HELD,
        evidence=f"{shared} patients shared",
    )


def _keeps_films_apart(provenance: Mapping[str, Any]) -> tuple[Statement, ...]:
    """Return what is known of the films behind given weights; nothing has to be claimed of random ones."""
    if provenance["init_sha256"] is None:
        return ()
    facts = provenance.get("init")
    is_checked = facts is not None and facts["twins_left_out"] is not None
    return (
        Statement(
            claim="No test film was among those that the given weights learned from",
            verdict=Verdict.HELD if is_checked else Verdict.NOT_SHOWN,
            evidence=pretraining_sentence(provenance),
        ),
    )


def _together(found: list[Verdict]) -> Verdict:
    if Verdict.FAILED in found:
        return Verdict.FAILED
    if not found or Verdict.SHOWN not in found:
        return Verdict.NOT_SHOWN
    return Verdict.SHOWN if set(found) == {Verdict.SHOWN} else Verdict.PARTLY
