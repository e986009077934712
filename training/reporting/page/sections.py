"""What the page shows in which order: for each part its trap in a sentence, its pictures with alt texts, its tables."""

from __future__ import annotations

from training.recipe import F3_POINT
from training.reporting import tables
from training.reporting.origins import calibration_remarks, offset_words
from training.reporting.page.finding_sections import findings, findings_together
from training.reporting.page.network_sections import films_left_out, graph, network, training
from training.reporting.page.section import Document, Picture, Section
from training.reporting.verdicts import OWN_OPTIMUM
from training.statistics.figures import show


def sections(report: Document) -> tuple[Section, ...]:
    """Return the sections in reading order."""
    return (
        _thresholds(report),
        _ranking(report),
        _f3(report),
        _prevalence(report),
        _calibration(report),
        _costs(report),
        findings(report),
        *findings_together(report),
        _subgroups(report),
        _disputed(report),
        *films_left_out(report),
        network(report),
        graph(report),
        training(report),
    )


def _thresholds(report: Document) -> Section:
    test = report["test"]
    calibrate = report["operating_points"]["calibrate"]
    return Section(
        anchor="operating-points",
        title="Operating points",
        trap="A threshold judged on the films that chose it looks better than it is. These were chosen on calibrate "
        "patients and are judged on others; and a certificate counts one film per patient, because films of one "
        "patient miss together.",
        pictures=(
            Picture(
                name="histogram",
                alt="Histograms of the probability for healthy and unhealthy films, with a line at each threshold.",
            ),
            Picture(
                name="confusion",
                alt="A confusion matrix for each operating point; the counts are in the table of F3 below.",
            ),
            Picture(name="half", alt="Confusion matrix of the network at probability .5, and of always unhealthy."),
        ),
        tables=(
            tables.promises(report),
            tables.certificates(report),
            tables.ratios(test, "Test films"),
            tables.exact_ratios(test, "Test films"),
            tables.positive_classes(report),
        ),
        remarks=(
            f"Chosen on {calibrate['films']:,} films of {calibrate['patients']:,} calibrate patients, "
            f"{calibrate['unhealthy_patients']:,} of them unhealthy. The default is "
            f"{report['operating_points']['default']}.",
        ),
    )


def _ranking(report: Document) -> Section:
    test = report["test"]
    return Section(
        anchor="ranking",
        title="How well it ranks films",
        trap="Sick patients are X-rayed in bed (AP), so a network can earn AUC by recognising the bed: read the "
        "view-adjusted column and the view-only baseline. Precision rises with prevalence by itself: compare it with "
        "the dashed line, never with another collection's.",
        pictures=(
            Picture(name="roc", alt=f"ROC curve with bootstrap band, AUC {show(test['auc'])}, and both baselines."),
            Picture(
                name="precision_recall",
                alt=f"Precision over recall, average precision {show(test['average_precision'])}.",
            ),
        ),
        tables=(tables.baselines(report),),
        remarks=(f"Average precision {show(test['average_precision'])}.",),
    )


def _f3(report: Document) -> Section:
    return Section(
        anchor="f3",
        title="F3 and skill",
        trap="F3 counts recall nine times, so where most films are unhealthy, flagging every film already has a high "
        "F3 and no network is needed for it. Skill is the share of the way from there to 1: at or below 0 the network "
        "helped nobody, however high its F3.",
        pictures=(
            Picture(
                name="f_beta",
                alt="F3 over the threshold beside the line of flagging everything; below, F-beta for other betas.",
            ),
        ),
        tables=(tables.f3_figures(report["test"], "Test films"),),
    )


def _prevalence(report: Document) -> Section:
    return Section(
        anchor="prevalence",
        title="At a site with fewer or more unhealthy films",
        trap="Reweighting changes how many films of each class there are, not which: a site whose healthy films look "
        "otherwise, or whose patients are less ill, gets other figures.",
        pictures=(
            Picture(
                name="prevalence", alt="F3 and skill over prevalence for three thresholds and flagging everything."
            ),
        ),
        tables=(tables.prevalences(report, (F3_POINT, report["operating_points"]["default"], OWN_OPTIMUM)),),
    )


def _calibration(report: Document) -> Section:
    calibration = report["calibration"]
    return Section(
        anchor="calibration",
        title="What the probability is worth",
        trap="A probability is calibrated for one share of unhealthy films. At a site with another share it is off, "
        "unless the bundle was exported for that share; the order of films, and certified points, do not change.",
        pictures=(
            Picture(name="reliability", alt="Share found unhealthy over predicted probability, with exact intervals."),
        ),
        remarks=(
            f"Expected calibration error {show(calibration['expected_calibration_error'])}; Brier score "
            f"{_shown(calibration['brier'])}; log loss {_shown(calibration['log_loss'])}; temperature "
            f"{calibration['temperature']:.3f}{offset_words(report['export'])}; shift for a site's prevalence "
            f"{calibration['prior_shift']:+.3f}.",
            *calibration_remarks(report["export"]),
        ),
    )


def _costs(report: Document) -> Section:
    return Section(
        anchor="costs",
        title="Films cleared against films missed",
        trap="Cleared films include the missed ones, and how many needless reads a miss is worth is a judgement that "
        "no figure here can make.",
        pictures=(
            Picture(name="decision_cost", alt="Films cleared and films missed of each 1,000, over the threshold."),
            Picture(name="negatives", alt="True and false negatives as the unhealthy prediction gets more weight."),
            Picture(name="cost_ratio", alt="The cheapest threshold for each cost ratio, and the cost that remains."),
        ),
        tables=(tables.costs(report),),
    )


def _subgroups(report: Document) -> Section:
    return Section(
        anchor="subgroups",
        title="Subgroups",
        trap="In small groups intervals are wide, and overlapping intervals do not show that two groups are served "
        "alike. A group without a figure is a group about which nothing is known.",
        pictures=(Picture(name="subgroups", alt="AUC, sensitivity and specificity of each view, sex and age band."),),
        tables=(tables.subgroups(report),),
    )


def _disputed(report: Document) -> Section:
    return Section(
        anchor="disputed",
        title="Disputed films",
        trap="A second reading called these films normal, most of them against their label, so calling them right or "
        "wrong would be a guess: counted is only how many are flagged. The second table adds them under their label.",
        tables=(
            tables.disputed(report),
            tables.f3_figures(report["test_with_disputed_films"], "All test films, disputed ones included"),
        ),
        remarks=(f"With them, AUC {show(report['test_with_disputed_films']['auc'])}.",),
    )


def _shown(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"
