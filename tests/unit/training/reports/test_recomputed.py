"""What follows from the printed numbers: each statement of the page, asserted."""

from __future__ import annotations

import pytest

from training.reports.published import published
from training.reports.recomputed.everything import recomputed
from training.reports.recomputed.per_class import possible_counts
from training.reports.rounding import as_printed
from training.reports.statement import Statement, Verdict

STATEMENTS = {statement.key: statement for found in recomputed().values() for statement in found}

CONTRADICTIONS = {
    "000.most_true_positives": 931,
    "001.batches_of_all": 1358,
    "001.early_stopping": 9,
    "001.recall_of_atelectasis": 0.45,
    "001.best_f1": 0.11,
    "002.table_healthy": 1,
    "002.table_total": 1,
    "002.finding_labels": 5,
    "003.accuracy_40_epochs": 0.005,
    "003.loss_bound_30": 0.2433,
    "003.validation_50_epochs": 0.00033,
    "004.first_layer": 2,
    "004.one_hot_inputs": 1,
}


def middle(key: str) -> float:
    return STATEMENTS[key].computed.middle


def test_keys_are_unique() -> None:
    assert len(STATEMENTS) == sum(len(found) for found in recomputed().values())


def test_exactly_these_numbers_contradict_and_by_so_much() -> None:
    found = {key: each.difference for key, each in STATEMENTS.items() if each.verdict is Verdict.CONTRADICTS}
    assert found == {key: pytest.approx(gap, rel=0.02) for key, gap in CONTRADICTIONS.items()}


def test_every_statement_says_how_it_was_computed() -> None:
    assert all(statement.how and statement.about for statement in STATEMENTS.values())


# -- 000


def test_constant_predictor_of_chestmnist() -> None:
    assert middle("000.constant_auc") == pytest.approx(0.745, abs=5e-4)
    assert middle("000.constant_keras_auc") == pytest.approx(0.7447, abs=5e-5)
    assert middle("000.constant_accuracy") == pytest.approx(0.948, abs=5e-4)


def test_three_learning_rates_have_a_worse_loss_than_knowing_the_shares() -> None:
    assert middle("000.rates_above_constant_loss") == 3
    assert middle("000.rates_below_constant_auc") == 2


def test_351_batches_are_the_validation_part() -> None:
    assert STATEMENTS["000.validation_batches"].verdict is Verdict.AGREES
    assert STATEMENTS["000.films"].verdict is Verdict.AGREES


# -- 001


def test_summary_of_eleven_experiments_is_consistent_with_its_own_precision_and_recall() -> None:
    assert all(STATEMENTS[f"001.f1_micro_{row}"].verdict is Verdict.AGREES for row in range(1, 12))


@pytest.mark.parametrize("average", ["micro", "macro", "weighted"])
@pytest.mark.parametrize("figure", ["precision", "recall", "f1"])
def test_averages_of_the_appendix_follow_from_its_classes(average: str, figure: str) -> None:
    assert STATEMENTS[f"001.{average}_{figure}"].verdict is Verdict.AGREES


def test_whole_counts_behind_a_class_print_its_row() -> None:
    classes = published("001").tables["per_class"]
    assert possible_counts(classes, "Nodule") == [(1, 1)]
    assert possible_counts(classes, "Edema") == [(0, 0)]
    for right, called in possible_counts(classes, "Effusion"):
        assert f"{right / called:.2f} {right / 276:.2f} {2 * right / (called + 276):.2f}" == "0.68 0.38 0.48"


def test_the_appendix_scored_1024_films_with_findings_at_one_half() -> None:
    assert STATEMENTS["001.films_scored"].computed.low <= 1024 <= STATEMENTS["001.films_scored"].computed.high
    assert middle("001.films_scored_multiple") == 1024
    assert as_printed("0.8907").meets(STATEMENTS["001.accuracy_of_appendix"].computed)
    assert middle("001.labels_per_film") == pytest.approx(1.573, abs=1e-3)
    assert middle("001.labels_per_film_with_findings") == pytest.approx(1.568, abs=1e-3)
    assert middle("001.labels_per_film_all") == pytest.approx(0.724, abs=1e-3)
    assert middle("001.all_negative_scored") == pytest.approx(0.8876, abs=5e-5)


def test_its_batches_are_those_of_films_with_findings() -> None:
    assert middle("001.batches_of_unhealthy") == 1164
    assert STATEMENTS["001.batches_of_unhealthy"].verdict is Verdict.AGREES


def test_its_class_shares_are_those_of_a_random_sample() -> None:
    assert middle("001.support_shares") > 0.05


def test_knowing_the_shares_reaches_its_experiment_6() -> None:
    for key, printed in (("precision", 0.29), ("recall", 0.55), ("f1", 0.38)):
        assert round(middle(f"001.constant_{key}"), 2) == printed
    assert middle("001.experiments_near_constant") == 8
    assert middle("001.experiments_below_constant_auc") == 10


def test_its_share_of_men_is_that_of_films_with_findings() -> None:
    assert round(middle("001.male"), 2) == 0.56
    assert round(middle("001.male_with_findings"), 2) == 0.57


@pytest.mark.parametrize("key", ["000.constant_auc", "001.highest_f1", "001.mobilenet_layers", "001.no_finding"])
def test_what_another_reading_allows_is_no_contradiction(key: str) -> None:
    assert STATEMENTS[key].verdict is Verdict.BESIDE


# -- 002


def test_figures_of_the_confusion_matrices_come_out_to_the_printed_digits() -> None:
    for key in ("figure_8_f3", "figure_8_accuracy", "figure_9_f3", "figure_9_accuracy"):
        assert STATEMENTS[f"002.{key}"].verdict is Verdict.AGREES
    assert round(middle("002.figure_8_f3"), 4) == 0.7062
    assert round(middle("002.figure_9_f3"), 4) == 0.8946
    assert round(middle("002.f3_everything"), 4) == 0.8946


def test_its_f3_is_below_flagging_everything() -> None:
    assert middle("002.skill") == pytest.approx(-1.79, abs=0.01)
    assert middle("002.cleared_per_missed") < middle("002.needed_cleared")


def test_its_point_lies_on_a_curve_of_about_75() -> None:
    assert middle("002.binormal_auc") == pytest.approx(0.752, abs=0.002)


# -- 003


@pytest.mark.parametrize("epochs", ["10", "20", "30", "50"])
def test_test_accuracies_follow_from_sensitivity_and_specificity(epochs: str) -> None:
    assert STATEMENTS[f"003.accuracy_{epochs}_epochs"].verdict is Verdict.AGREES


def test_its_row_of_40_epochs_is_half_a_point_off() -> None:
    assert STATEMENTS["003.accuracy_40_epochs"].shown == "52.500 %"


def test_a_loss_below_the_least_that_its_errors_cost_is_impossible() -> None:
    assert middle("003.loss_bound_30") == pytest.approx(0.4433 * 0.6931, abs=1e-3)
    possible = [each for key, each in STATEMENTS.items() if "loss_bound" in key and key != "003.loss_bound_30"]
    assert len(possible) == 9
    assert {each.verdict for each in possible} == {Verdict.AGREES}


def test_both_readings_of_its_positive_class_are_computed() -> None:
    assert middle("003.f3_by_text") == pytest.approx(740 / (740 + 9 * 26 + 52))
    assert middle("003.f3_by_table") == pytest.approx(480 / (480 + 9 * 52 + 26))
    assert middle("003.f3_by_text") < middle("003.f3_everything")


def test_its_200_films_do_not_tell_50_epochs_from_two_others() -> None:
    assert STATEMENTS["003.interval_50"].shown == "53.9 % to 67.8 %"
    assert middle("003.epochs_not_apart") == 2


# -- 004


@pytest.mark.parametrize("key", ["films", "patients", "male", "female", "no_finding", "both_sexes"])
def test_its_row_counts_are_those_of_the_table(key: str) -> None:
    assert STATEMENTS[f"004.{key}"].verdict is Verdict.AGREES


def test_four_fifths_of_films_leak_where_films_are_dealt_at_random() -> None:
    leaks: list[Statement] = [STATEMENTS[f"{number}.leaked_share"] for number in ("001", "002", "004")]
    assert all(0.81 < leak.computed.middle < 0.83 for leak in leaks)
