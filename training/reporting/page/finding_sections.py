"""The page's sections on single findings: each against its own negatives, and all of them together."""

from __future__ import annotations

from training.reporting import tables
from training.reporting.page.section import Document, Picture, Section


def findings(report: Document) -> Section:
    """Return each finding's AUC beside published ones."""
    return Section(
        anchor="findings",
        title="Findings",
        trap=report["findings_anchors_note"],
        pictures=(
            Picture(name="findings", alt="AUC of each finding with its interval and published anchors."),
            Picture(name="finding_roc", alt="ROC curve of each finding; the AUCs are in the table."),
        ),
        tables=(tables.findings(report),) if report["findings"] else (),
        remarks=_beside(report) if report["findings"] else ("This network has no outputs for single findings.",),
    )


def findings_together(report: Document) -> tuple[Section, ...]:
    """Return the figures of published multi-label systems; nothing for a network without findings."""
    section = report["multilabel"]
    if section is None:
        return ()
    return (
        Section(
            anchor="findings-together",
            title="All findings together",
            trap="Counted over all pairs of film and finding, telling a common finding from a rare one already ranks "
            "most pairs rightly, and never calling anything is right most of the time. The flattened AUC and the "
            "accuracy of published systems are such figures: hold them against the second row, and read the macro AUC "
            "first.",
            pictures=(
                Picture(
                    name="finding_confusion", alt="A confusion matrix for each finding; the counts are in the table."
                ),
            ),
            tables=(tables.together(section), tables.per_class(section)),
            remarks=(
                f"The macro AUC is the mean over {section['macro_auc_findings']} of {len(section['findings'])} "
                "findings; a finding that no test film carries has none, and its precision, recall and F1 count 0. The "
                "row samples averages over films, where a film without any finding counts 0.",
            ),
        ),
    )


def _beside(report: Document) -> tuple[str, ...]:
    section = report["multilabel"]
    compared = (
        f"Above Wang et al. 2017 in {section['above_wang_2017']} of the {section['compared_with_wang_2017']} findings "
        "that both have, intervals and few films aside. Six of Wang's figures are second-hand: read in another's "
        "table, not in the paper, and marked so in the plot."
    )
    return (compared, f"AUC of the head before it learnt: {report['untrained']['how']}.")
