"""Findings counted together as the reports count them, and what a constant predictor gets by the same counting."""

from __future__ import annotations

import csv
import gzip
import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import classification_report, roc_auc_score
from torchmetrics.classification import BinaryAUROC

from tests.support.scored_films import invented_films
from tests.support.shared_data import shared_data
from training.statistics.anchors import anchors, wang_2017
from training.statistics.multilabel import FindingsJudgement, averages, keras_auc, multilabel_figures

FINDINGS = (
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Effusion", "Emphysema", "Fibrosis", "Hernia",
    "Infiltration", "Mass", "Nodule", "Pleural_Thickening", "Pneumonia", "Pneumothorax",
)  # fmt: skip
RNG = np.random.default_rng(3)
TRUTHS = (RNG.random((400, 5)) < (0.02, 0.1, 0.2, 0.4, 0.0)).astype(np.int64)
SCORES = 1 / (1 + np.exp(-(1.5 * TRUTHS - 2 + RNG.normal(size=TRUTHS.shape))))
JUDGEMENT = FindingsJudgement(threshold=0.2, train_shares={"Mass": 0.2, "Hernia": 0.002})


def test_keras_auc_is_the_trapezoid_over_its_two_hundred_thresholds() -> None:
    labels, scores = TRUTHS.ravel(), SCORES.ravel()
    thresholds = np.r_[-1e-7, np.arange(1, 199) / 199, 1 + 1e-7]
    caught = [float(np.mean(scores[labels == 1] > threshold)) for threshold in thresholds]
    needless = [float(np.mean(scores[labels == 0] > threshold)) for threshold in thresholds]
    heights = [(first + second) / 2 for first, second in itertools.pairwise(caught)]
    widths = [first - second for first, second in itertools.pairwise(needless)]
    by_hand = sum(width * height for width, height in zip(widths, heights, strict=True))
    assert keras_auc(labels, scores) == pytest.approx(by_hand, abs=1e-12)


def test_keras_auc_equals_torchmetrics_where_no_score_lies_on_a_threshold() -> None:
    # torchmetrics asks for at or above 0, 1/199 .. 1; Keras for above, and its ends lie outside of 0..1.
    oracle = BinaryAUROC(thresholds=200)(torch.tensor(SCORES.ravel()), torch.tensor(TRUTHS.ravel()))
    assert keras_auc(TRUTHS.ravel(), SCORES.ravel()) == pytest.approx(float(oracle), abs=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_scores_that_are_all_alike_are_ties_to_keras_wherever_they_lie(value: float) -> None:
    assert keras_auc(np.array([0, 1, 0, 1]), np.full(4, value)) == 0.5


def test_keras_auc_loses_the_order_of_scores_between_two_thresholds() -> None:
    labels, scores = np.array([0, 1]), np.array([0.001, 0.004])
    assert keras_auc(labels, scores) == 0.5
    assert keras_auc(labels, 10 * scores) == 1.0
    assert keras_auc(np.zeros(2, dtype=np.int64), scores) is None


def test_averages_are_those_of_scikit_learn_s_table() -> None:
    called = SCORES >= 0.2
    table = classification_report(TRUTHS, called, output_dict=True, zero_division=0)
    for name, found in averages(TRUTHS, called).items():
        row = table[f"{name} avg"]
        assert found == pytest.approx({
            "precision": row["precision"], "recall": row["recall"], "f1": row["f1-score"], "support": row["support"],
        })  # fmt: skip


def test_a_single_finding_is_averaged_as_one_finding_and_not_as_two_classes() -> None:
    truths, called = np.array([[1], [0], [1], [0]]), np.array([[True], [True], [False], [False]])
    found = averages(truths, called)
    for name in ("micro", "macro", "weighted"):
        assert found[name] == {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2}
    assert found["samples"]["recall"] == 0.25


def test_a_finding_that_no_test_film_carries_has_no_auc_and_a_note() -> None:
    section = multilabel_figures(invented_films(), JUDGEMENT)
    assert section is not None
    mass, hernia = section["findings"]
    assert hernia["auc"] is None
    assert hernia["note"] == "no AUC: 0 of 300 films carry it"
    assert mass["note"] is None
    assert (section["macro_auc"], section["macro_auc_findings"]) == (mass["auc"], 1)
    assert section["compared_with_wang_2017"] == 1
    assert section["above_wang_2017"] == int(mass["auc"] > 0.706)
    json.dumps(section, allow_nan=False)


def test_films_without_a_single_positive_have_figures_and_notes_only() -> None:
    films = invented_films()
    nothing = {name: np.zeros_like(truth) for name, truth in films.truths.items()}
    section = multilabel_figures(replace(films, truths=nothing), JUDGEMENT)
    assert section is not None
    assert section["macro_auc"] is section["flattened_auc"] is section["keras_auc"] is None
    assert section["all_negative_accuracy"] == 1.0
    assert section["averages"]["samples"]["f1"] == 0.0


def test_each_finding_counts_every_film_once_and_the_counts_give_its_ratios() -> None:
    films = invented_films()
    section = multilabel_figures(films, JUDGEMENT)
    assert section is not None
    for found in section["findings"]:
        tn, fp, fn, tp = (
            found[name] for name in ("true_negatives", "false_positives", "false_negatives", "true_positives")
        )
        assert tn + fp + fn + tp == section["films"] == len(films.labels)
        assert found["support"] == fn + tp
        assert found["precision"] == (tp / (tp + fp) if tp + fp else 0.0)
        assert found["f1"] == pytest.approx(2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 0.0)
    flat = np.concatenate([films.truths[name] for name in films.truths])
    scores = np.concatenate([films.finding_scores[name] for name in films.truths])
    assert section["flattened_auc"] == pytest.approx(roc_auc_score(flat, scores))
    assert section["binary_accuracy_at_threshold"] == pytest.approx(np.mean((scores >= 0.2) == flat))
    assert section["loss"] == pytest.approx(-np.mean(np.log(np.where(flat == 1, scores, 1 - scores))))


def test_a_network_without_findings_has_no_section() -> None:
    assert multilabel_figures(replace(invented_films(), truths={}, finding_scores={}), JUDGEMENT) is None


def test_wang_s_second_hand_figures_are_told_from_confirmed_ones() -> None:
    known = {name: wang_2017(name) for name in FINDINGS}
    assert sum(published is not None and published.is_confirmed for published in known.values()) == 8
    for name, published in known.items():
        assert published is not None
        assert published.is_confirmed == ("Wang" in {anchor["name"] for anchor in anchors(name)})
    assert np.mean([published.auc for published in known.values() if published]) == pytest.approx(0.738, abs=5e-4)
    assert wang_2017("Fracture") is None


def test_knowing_only_each_finding_s_share_gets_an_auc_of_745_and_an_accuracy_of_948_on_the_whole_nih_table() -> None:
    truths, is_test = _whole_table()
    shares = dict(zip(FINDINGS, truths[~is_test].mean(axis=0).tolist(), strict=True))
    films = invented_films(patients=len(truths), films=1)
    all_films = replace(
        films,
        truths=dict(zip(FINDINGS, truths.T, strict=True)),
        finding_scores={name: np.full(len(truths), shares[name]) for name in FINDINGS},
    )
    section = multilabel_figures(all_films, FindingsJudgement(threshold=0.5, train_shares=shares))
    assert section is not None
    known = section["prevalence_only"]
    assert known["flattened_auc"] == pytest.approx(0.745, abs=0.003)
    assert known["binary_accuracy"] == section["all_negative_accuracy"] == pytest.approx(0.948, abs=0.003)
    assert known["keras_auc"] == pytest.approx(known["flattened_auc"], abs=0.01)
    assert section["macro_auc"] == 0.5


def _whole_table() -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return all labels of ChestX-ray14 ``(112120, 14)``, and which films the official list tests on."""
    official = set(shared_data("labels", "nih_test_list.txt").read_text().split())
    with gzip.open(shared_data("labels", "Data_Entry_2017_v2020.csv.gz"), "rt", newline="") as file:
        rows = [(row["Image Index"], row["Finding Labels"].split("|")) for row in csv.DictReader(file)]
    truths = np.array([[finding in found for finding in FINDINGS] for _, found in rows], dtype=np.int64)
    return truths, np.array([name in official for name, _ in rows])
