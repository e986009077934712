"""Tables that compare: with baselines, other prevalences, published anchors, other groups, other variants."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from training.reporting.tables.cells import NONE, Document, Table, exact, number
from training.reporting.verdicts import OWN_OPTIMUM, plain
from training.statistics.figures import show


def baselines(report: Document) -> Table:
    """Return the baselines beside the network, paired on the same films."""
    return Table(
        caption="Baselines on the same films; differences are paired",
        head=("scored by", "AUC", "view-adjusted AUC", "network ahead by", "view-adjusted ahead by"),
        rows=(
            ("network", show(report["test"]["auc"]), show(report["test"]["view_adjusted_auc"]), NONE, NONE),
            *(
                (
                    plain(name),
                    show(rival["auc"]),
                    show(rival["view_adjusted_auc"]),
                    show(rival["network_ahead_by"]),
                    show(rival["network_ahead_view_adjusted_by"]),
                )
                for name, rival in report["baselines"].items()
            ),
        ),
    )


def prevalences(report: Document, points: Sequence[str]) -> Table:
    """Return F3 and skill of some operating points, reweighted to each prevalence."""
    return Table(
        caption="Reweighted to other prevalences; positive: unhealthy",
        head=("unhealthy", "point", "F3", "flag everything", "skill", "PPV", "NPV", "cleared of 1,000", "missed"),
        rows=tuple(
            (
                f"{row['prevalence']:.1%}{' (here)' if row['is_own'] else ''}",
                "F3 optimum there" if name == OWN_OPTIMUM else name,
                show(point["f3"]),
                number(row["f3_flag_everything"], ".4f"),
                show(point["f3_skill"]),
                show(point["ppv"]),
                show(point["npv"]),
                number(point["cleared_per_1000"]["value"], ".0f"),
                number(point["missed_per_1000"]["value"], ".1f"),
            )
            for row in report["prevalences"]
            for name, point in row["operating_points"].items()
            if name in points
        ),
    )


def findings(report: Document) -> Table:
    """Return each finding's AUC with the anchors that are known for it."""
    return Table(
        caption=f"Findings; mean AUC {show(report['findings_mean_auc'])}; positive: finding present",
        head=("finding", "films with it", "AUC", "anchors"),
        rows=tuple(
            (
                plain(one["finding"]),
                f"{one['positives']:,}",
                show(one["auc"]),
                "; ".join(f"{anchor['name']} {anchor['auc']:.3f}" for anchor in one["anchors"]) or NONE,
            )
            for one in report["findings"]
        ),
    )


def subgroups(report: Document) -> Table:
    """Return AUC, and the ratios of the default operating point, of every subgroup."""
    default = report["operating_points"]["default"]
    return Table(
        caption=f"Subgroups, at {default}; ratios with exact 95 % intervals; positive: unhealthy",
        head=("group", "healthy", "unhealthy", "AUC", "sensitivity", "specificity", "missed at most"),
        rows=tuple(
            (
                name,
                f"{group['healthy']:,}",
                f"{group['unhealthy']:,}",
                show(group["auc"]),
                exact(group["operating_points"][default]["sensitivity"]),
                exact(group["operating_points"][default]["specificity"]),
                _bound(group["operating_points"][default]["miss_bound"]),
            )
            for name, group in _groups(report)
        ),
    )


def variants(report: Document) -> Table:
    """Return every exported graph with its own AUC and what it loses."""
    facts = report["export"]["variants"]
    return Table(
        caption=f"Variants of the graph; {report['ships']} ships: {report['export']['why']}",
        head=("variant", "size", "AUC", "AUC lost", "largest difference", "decisions that flip"),
        rows=tuple(
            (
                name,
                f"{facts[name]['graph_bytes'] / 1e6:.1f} MB",
                show(variant["auc"]),
                show(variant["auc_loss"]),
                number(variant["max_difference"], ".3g"),
                "; ".join(f"{point} {flips['flips']}" for point, flips in variant["decision_flips"].items()),
            )
            for name, variant in report["variants"].items()
        ),
    )


def _groups(report: Document) -> Iterator[tuple[str, Document]]:
    yield "all", report["test"]
    for attribute, members in report["subgroups"].items():
        for name, group in members.items():
            yield f"{attribute} {name}", group


def _bound(bound: Document | None) -> str:
    return NONE if bound is None else f"{bound['bound']:.1%} ({bound['misses']} of {bound['positives']} patients)"
