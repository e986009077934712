"""What is said of where a network and its films come from is what provenance holds, and no more."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.reports import simulated_report
from tests.support.training_runs import tiny_recipe
from training.provenance import patients_known
from training.reporting.card import write_card
from training.reporting.origins import data_sentence, pretraining_sentence, unseen
from training.reporting.verdicts import Verdict, statements

PLAIN: dict[str, Any] = {
    "reader": "nih",
    "shared_patients": 0,
    "patients_known": True,
    "init_sha256": None,
    "init": None,
    "parts": {
        "train": {"films": 1000, "patients": 700, "disputed": 0},
        "test": {"films": 240, "patients": 133, "disputed": 0},
    },
}
FACTS = {
    "method": "guessing",
    "films": 4859,
    "twins_left_out": 140,
    "recipe": {"size": 128, "epochs": 10},
    "sha256": "c" * 64,
}
PRETRAINED = PLAIN | {"init_sha256": "c" * 64, "init": FACTS}
NOBODY_LOOKED = PRETRAINED | {"init": FACTS | {"twins_left_out": None}}


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return simulated_report()


def test_films_and_patients_are_those_of_all_parts() -> None:
    assert data_sentence(PLAIN) == "1,240 films of 833 patients"
    assert data_sentence(PLAIN | {"patients_known": False}) == "1,240 films, patients unknown"
    assert data_sentence(PLAIN | {"shared_patients": 3}) == "1,240 films"
    some = {"train": {"films": 1380, "patients": 1106, "disputed": 140}}
    assert data_sentence(PLAIN | {"parts": some}) == "1,380 films (140 disputed) of 1,106 patients"


def test_provenance_that_does_not_say_is_believed_only_where_the_collection_names_patients() -> None:
    older = {name: value for name, value in PLAIN.items() if name != "patients_known"}
    assert patients_known(older)
    assert not patients_known(older | {"reader": "folders"})
    assert not patients_known(PLAIN | {"patients_known": False})


def test_a_pretrained_backbone_is_described_by_its_own_facts() -> None:
    said = pretraining_sentence(PRETRAINED)
    for part in ("guessing", "4,859 films", "128 pixels", "10 epochs", "140 films that look like one", "c" * 64):
        assert part in said
    assert "is unknown" in said


def test_weights_that_nobody_compared_are_said_to_be_so() -> None:
    assert "nobody looked whether test films were among them" in pretraining_sentence(NOBODY_LOOKED)
    assert "do not say what they were trained on" in pretraining_sentence(PRETRAINED | {"init": None})
    assert pretraining_sentence(PLAIN) == "Trained from random weights."


@pytest.mark.parametrize(
    ("provenance", "verdict"),
    [
        (PRETRAINED, Verdict.HELD),
        (NOBODY_LOOKED, Verdict.NOT_SHOWN),
        (PRETRAINED | {"init": None}, Verdict.NOT_SHOWN),
        (PLAIN, None),
    ],
)
def test_the_verdict_about_given_weights_rests_on_whether_somebody_looked(
    report: dict[str, Any], provenance: dict[str, Any], verdict: Verdict | None
) -> None:
    found = [one.verdict for one in statements(report | {"provenance": provenance}) if "given weights" in one.claim]
    assert found == ([] if verdict is None else [verdict])


def test_only_random_weights_on_known_separate_patients_never_saw_the_test_patients() -> None:
    assert unseen(PLAIN) == "patients it never saw"
    for other in (PRETRAINED, PLAIN | {"patients_known": False}, PLAIN | {"shared_patients": 1}):
        assert "never saw" not in unseen(other)


def test_unknown_patients_show_no_separation_and_hold_no_certificate(report: dict[str, Any]) -> None:
    unknown = report | {"provenance": report["provenance"] | {"patients_known": False}}
    found = {one.claim: one for one in statements(unknown)}
    apart = found["No patient is in two parts of the split"]
    assert (apart.verdict, "patients unknown" in apart.evidence) == (Verdict.NOT_SHOWN, True)
    promise = found["The default operating point sens95 keeps its promise on test patients"]
    assert (promise.verdict, "unhealthy films missed" in promise.evidence) == (Verdict.NOT_SHOWN, True)


def test_the_card_opens_its_remarks_with_unknown_patients_and_repeats_those_of_the_reader(
    report: dict[str, Any],
) -> None:
    unknown = report["provenance"] | {"patients_known": False, "remarks": ["three ages cannot be"]}
    card = write_card(tiny_recipe(), report | {"provenance": unknown})
    assert "## Remarks\n\n- Patients unknown: the collection names none" in card
    assert "- three ages cannot be\n" in card
    assert "patients in two of them" not in card


def test_the_card_says_what_the_backbone_learned_from(report: dict[str, Any]) -> None:
    provenance = report["provenance"] | {"init_sha256": "c" * 64, "init": FACTS}
    assert pretraining_sentence(provenance) in write_card(tiny_recipe(), report | {"provenance": provenance})
