"""Folds are joined so that no scale and no patient crosses from one to another."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.scored_films import invented_films
from training.errors import PatientLeakage, RecipeError, RunError
from training.fold_runs import fold_directory, fold_recipe, join_runs
from training.recipe_files import read_recipe
from training.run_directory import RunDirectory
from training.statistics.cross_validation import markdown_table, marks, pooled_figures
from training.statistics.folds import Fold, JoinedFolds, join_folds
from training.statistics.intervals import Bootstrap
from training.statistics.metrics import auc, stratified_auc
from training.statistics.scored_films import write_scored_films
from training.statistics.thresholds import FLAG_EVERYTHING

BOOTSTRAP = Bootstrap(replicates=200, seed=1)


def fold(number: int, *, scale: float = 1.0, threshold: float = 0.2, knows: float = 2.5) -> Fold:
    """Return a fold whose network answers on a scale of its own."""
    test = invented_films(seed=number, prefix=f"t{number}-", patients=80, knows=knows)
    calibrate = invented_films(seed=100 + number, prefix=f"c{number}-", patients=80, knows=knows)
    return Fold(
        test=replace(test, scores=test.scores * scale),
        calibrate=replace(calibrate, scores=calibrate.scores * scale),
        thresholds={"f3": 0.1 * scale, "sens95": threshold * scale},
    )


def joined() -> JoinedFolds:
    return join_folds([fold(0), fold(1, scale=0.1), fold(2, scale=0.5)])


def test_scores_are_compared_within_a_fold_only() -> None:
    folds = joined()
    same_scale = join_folds([fold(0), fold(1), fold(2)])
    found = pooled_figures(folds, BOOTSTRAP)
    assert found["auc"]["value"] == pytest.approx(
        stratified_auc(same_scale.films.labels, same_scale.films.scores, same_scale.numbers)
    )
    assert found["auc_pooled_scores"]["value"] < found["auc"]["value"] - 0.05
    means = [auc(each.test.labels, each.test.scores) for each in folds.folds]
    assert found["auc_mean_of_folds"]["value"] == pytest.approx(np.mean(means))


def test_decisions_are_those_of_each_folds_own_thresholds() -> None:
    folds = joined()
    flags = folds.flags(prevalence=0.1)
    expected = np.concatenate([each.test.scores >= each.thresholds["sens95"] for each in folds.folds])
    np.testing.assert_array_equal(flags["sens95"], expected)
    assert set(flags) == {"f3", "sens95", "f3_here"}


def test_good_folds_reach_every_mark() -> None:
    found = pooled_figures(join_folds([fold(number, threshold=0.05) for number in range(3)]), BOOTSTRAP)
    assert all(found["marks"].values()), found["marks"]
    assert json.loads(json.dumps(found, allow_nan=False))["films"] == 480
    assert "not reached" not in markdown_table(found)


def test_folds_that_know_nothing_reach_no_mark_of_rank() -> None:
    found = pooled_figures(join_folds([fold(number, knows=0.0, threshold=0.9) for number in range(3)]), BOOTSTRAP)
    missed = {name for name, is_reached in found["marks"].items() if not is_reached}
    assert {
        "auc_at_least_0.77",
        "auc_goal_0.80",
        "lower_bound_above_half_within_AP",
        "f3_skill_lower_bound_positive_at_0.10",
        "sens95_not_rejected_at_01",
    } <= missed
    assert "**not reached**" in markdown_table(found)


def test_a_mark_whose_figure_is_missing_is_not_reached() -> None:
    found = pooled_figures(joined(), BOOTSTRAP)
    gone = {**found, "baselines": {}, "within_view": {}, "certificate": None, "auc": {"value": None, "low": None}}
    reached = {name for name, is_reached in marks(gone).items() if is_reached}
    assert reached <= {"f3_skill_lower_bound_positive_at_0.10", "f3_skill_lower_bound_positive_at_0.25"}


def test_folds_that_flag_everything_certify_nothing() -> None:
    assert pooled_figures(join_folds([fold(0, threshold=FLAG_EVERYTHING)]), BOOTSTRAP)["certificate"] is None
    some = pooled_figures(join_folds([fold(0, threshold=FLAG_EVERYTHING), fold(1)]), BOOTSTRAP)["certificate"]
    assert (some["folds_certified"], some["folds"]) == (1, 2)


def test_a_certificate_of_some_folds_only_reaches_no_mark_and_says_how_many() -> None:
    found = pooled_figures(
        join_folds([fold(0, threshold=FLAG_EVERYTHING), fold(1, threshold=0.05), fold(2, threshold=0.05)]), BOOTSTRAP
    )
    assert not found["certificate"]["rejected_at_01"]
    assert not found["marks"]["sens95_not_rejected_at_01"]
    share = found["certificate"]["flagged_share"]
    assert f"certified in 2 of 3 folds, which flag {share:.1%} of their films" in markdown_table(found)


def test_a_patient_in_two_test_parts_is_a_leak() -> None:
    with pytest.raises(PatientLeakage, match="test part of two folds"):
        join_folds([fold(0), fold(0)])


def test_each_fold_has_the_recipe_with_its_test_part() -> None:
    recipe = read_recipe(Path("healthy_unhealthy"))
    data = fold_recipe(recipe, 3, 7).data
    assert (data.test_fold, data.folds) == (3, 7)
    assert fold_recipe(recipe, 3, 7).sha256 != fold_recipe(recipe, 4, 7).sha256


def test_an_official_test_list_cannot_be_cut_into_folds() -> None:
    recipe = read_recipe(Path("healthy_unhealthy"))
    official = recipe.model_copy(update={"data": recipe.data.model_copy(update={"official_test": True})})
    with pytest.raises(RecipeError, match="official_test"):
        fold_recipe(official, 0, 5)


def written(run: RunDirectory, made: Fold, fingerprint: str) -> None:
    """Leave what the steps of a fold leave, as far as joining reads it."""
    for path in (run.test_scores, run.calibrate_scores, run.export_facts, run.provenance):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_scored_films(run.test_scores, made.test)
    write_scored_films(run.calibrate_scores, made.calibrate)
    run.provenance.write_text(json.dumps({"data_fingerprint": fingerprint}))
    run.export_facts.write_text(json.dumps({"ships": "fp32"}))
    points = [{"name": name, "threshold": threshold} for name, threshold in made.thresholds.items()]
    run.operating_points.write_text(json.dumps({"variants": {"fp32": {"points": points}}}))


def test_finished_folds_are_joined_into_one_file(tmp_path: Path) -> None:
    recipe = read_recipe(Path("healthy_unhealthy"))
    for number in range(2):
        written(fold_directory(tmp_path, number), fold(number), "same")
    report = join_runs(tmp_path, recipe, 2)
    assert json.loads((tmp_path / "cross_validation.json").read_text()) == json.loads(json.dumps(report))
    assert report["recipe_sha256"] == recipe.sha256
    assert len(report["folds"]) == 2


def test_folds_of_different_films_are_not_joined(tmp_path: Path) -> None:
    for number in range(2):
        written(fold_directory(tmp_path, number), fold(number), f"films {number}")
    with pytest.raises(RunError, match="different films"):
        join_runs(tmp_path, read_recipe(Path("healthy_unhealthy")), 2)
