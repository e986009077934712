"""Tables of operating points: what each promises, and what it does to the films of one group."""

from __future__ import annotations

from training.reporting.tables.cells import NONE, Document, Table, exact, films_of, number, share
from training.statistics.figures import show
from training.statistics.report import HALF


def promises(report: Document) -> Table:
    """Return every operating point of the graph that ships: threshold, what it promises, what it rests on."""
    points = report["operating_points"]["variants"][report["ships"]]["points"]
    return Table(
        caption="Operating points, chosen on calibrate patients",
        head=("point", "flag at or above", "certified sensitivity", "rests on"),
        rows=tuple(
            (point["name"], f"{point['threshold']:.4f}", _certified(point["certificate"]), point["evidence"])
            for point in points
        ),
    )


def ratios(group: Document, title: str) -> Table:
    """Return each operating point's ratios on one group of films, with bootstrap intervals."""
    names = ("sensitivity", "specificity", "ppv", "npv")
    return Table(
        caption=f"{title}: {films_of(group)}; positive: unhealthy; 95 % bootstrap of patients",
        head=("point", *(_heading(name) for name in names), "flagged"),
        rows=tuple(
            (name, *(show(point[ratio]) for ratio in names), share(point["flagged_share"]))
            for name, point in group["operating_points"].items()
        ),
    )


def exact_ratios(group: Document, title: str) -> Table:
    """Return each operating point's counts with Clopper-Pearson intervals."""
    names = ("sensitivity", "specificity", "ppv", "npv", "accuracy")
    return Table(
        caption=f"{title}: counts and exact 95 % intervals (films taken as independent); positive: unhealthy",
        head=("point", *(_heading(name) for name in names)),
        rows=tuple(
            (name, *(exact(point[ratio]) for ratio in names)) for name, point in group["operating_points"].items()
        ),
    )


def positive_classes(report: Document) -> Table:
    """Return the figures at half by either way of counting: report 003's table calls the normal film the positive."""
    turned, point = report["normal_as_positive"], report["test"]["operating_points"][HALF]
    counts = point["confusion"]
    usual = {
        "sensitivity": _share(counts["true_positives"], counts["false_negatives"]),
        "specificity": _share(counts["true_negatives"], counts["false_positives"]),
        "accuracy": turned["accuracy"],
    }
    return Table(
        caption="The same films at probability .5, with either class as the positive one",
        head=("positive class", "sensitivity", "specificity", "accuracy"),
        rows=tuple(
            (name, *(number(row[ratio], ".3f") for ratio in usual))
            for name, row in (("unhealthy", usual), (turned["positive_class"], turned))
        ),
    )


def f3_figures(group: Document, title: str) -> Table:
    """Return F3 of each operating point, always beside flagging everything, and the four counts."""
    return Table(
        caption=f"{title}: {films_of(group)}; positive: unhealthy",
        head=("point", "F3", "F3 of flagging everything", "skill", "TN", "FP", "FN", "TP"),
        rows=tuple(
            (
                name,
                show(point["f3"]),
                number(point["f3_flag_everything"], ".4f"),
                show(point["f3_skill"]),
                *(f"{count:,}" for count in point["confusion"].values()),
            )
            for name, point in group["operating_points"].items()
        ),
    )


def certificates(report: Document) -> Table:
    """Return the exact test of every certified point on patients that it was not certified on."""
    return Table(
        caption="Certificates on test patients: one random unhealthy film each, exact one-sided test",
        head=("point", "claimed", "observed", "missed", "p", "verdict"),
        rows=tuple(
            (name, *(_silent() if test is None else _tested(test))) for name, test in report["certificates"].items()
        ),
    )


def disputed(report: Document) -> Table:
    """Return what is done with the films whose two readings contradict each other."""
    return Table(
        caption=f"{report['disputed']['films']} disputed films, {report['disputed']['recorded_unhealthy']} of them "
        "recorded unhealthy",
        head=("point", "flag at or above", "flagged"),
        rows=tuple(
            (name, f"{point['threshold']:.4f}", f"{point['flagged']} of {point['of']}")
            for name, point in report["disputed"]["operating_points"].items()
        ),
    )


def costs(report: Document) -> Table:
    """Return, for each ratio of a miss to a needless read, the threshold and what follows."""
    return Table(
        caption="What a miss costs, in needless reads, and the threshold that follows; figures on test films",
        head=(
            "a miss costs",
            "flag at or above",
            "calibrated scores would choose",
            "cleared of 1,000",
            "missed",
            "saved",
        ),
        rows=tuple(
            (
                f"{row['ratio']:g}",
                number(row["threshold"], ".4f"),
                f"{row['bayes_threshold']:.4f}",
                number(row["cleared_per_1000"], ".0f"),
                number(row["missed_per_1000"], ".1f"),
                share(row["saved_share"]),
            )
            for row in report["curves"]["decision_cost"]["ratios"]
        ),
    )


def _share(part: int, rest: int) -> float | None:
    return part / (part + rest) if part + rest else None


def _heading(name: str) -> str:
    return name.upper() if name in ("ppv", "npv") else name


def _certified(certificate: Document | None) -> str:
    if certificate is None:
        return NONE
    return f"at least {1 - certificate['miss_bound']:.4f} with confidence {1 - certificate['delta']:g}"


def _silent() -> tuple[str, ...]:
    return (NONE, NONE, NONE, NONE, "flags everything: nothing to test")


def _tested(test: Document) -> tuple[str, ...]:
    return (
        f"{test['claimed_sensitivity']:g}",
        f"{test['observed_sensitivity']:.3f}",
        f"{test['misses']} of {test['positives']}",
        f"{test['p_value']:.3g}",
        "rejected" if test["rejected_at_01"] else "not rejected",
    )
