"""The page before a running service, as a reader uses it."""

from __future__ import annotations

import base64

import httpx
import numpy as np
import pytest

from model.errors import Reason
from services.jobs.records import Record
from tests.browser.conftest import OpenPage
from tests.browser.watched import LINE, WatchedPage
from tests.support.films import dicom_film, png_film
from tests.support.finding_bundles import FINDINGS
from tests.support.stack import StackProcess

SHOWN = ".outcome:not(.pending)"
BLANK = png_film(np.full((128, 128), 7, np.uint8))


def record_of(page: WatchedPage, api: httpx.Client) -> Record:
    return Record.model_validate_json(api.get(f"/v1/instances/{page.film_id()}").content)


def percent(probability: float) -> str:
    return f"{100 * probability:.1f} %"


def test_film_that_is_sent_shows_what_its_record_says(page: WatchedPage, api: httpx.Client) -> None:
    page.choose(png_film(seed=1))
    page.page.fill("#age", "60")
    page.page.select_option("#sex", "F")
    page.send()
    page.wait_for(SHOWN)
    record = record_of(page, api)
    assert record.findings is not None
    assert record.policy is not None
    assert record.model is not None
    by_probability = sorted(record.findings, key=lambda finding: -finding.probability)
    assert page.findings() == [(finding.label, percent(finding.probability)) for finding in by_probability]
    assert page.findings()[0][0] != FINDINGS[0], "the manifest's order is another one"
    assert dict(page.findings())["old"] == "30.0 %", "the age that was given reached the network"
    assert page.bar_widths() == pytest.approx([finding.probability for finding in by_probability], abs=0.02)
    assert page.text(".outcome").startswith({"flagged": "Flagged", "not_flagged": "Not flagged"}[str(record.outcome)])
    assert percent(record.probability or 0) in page.text(".probability")
    assert f"threshold of {percent(record.threshold or 0)}" in page.text(".probability")
    assert record.policy.name in page.text(".probability")
    page.wait_for(".probability", "at least one of the findings")  # the model is asked for after the film
    assert f"{record.model.name} {record.model.version}" in page.text(".facts")


def test_pictures_of_the_film_are_shown(page: WatchedPage) -> None:
    page.choose(png_film(seed=2))
    page.send()
    page.page.wait_for_selector(".controls button:enabled")
    page.page.wait_for_selector(".heat-offered button:enabled")
    assert "does not show where disease is" in page.text(".view")


def test_dicom_film_speaks_for_itself(page: WatchedPage) -> None:
    page.choose(dicom_film(seed=3, PatientAge="080Y", PatientSex="M", PatientName="Nobody^Known"), "Nobody_Known.dcm")
    assert page.page.locator("#age").is_disabled()
    page.send()
    page.wait_for(SHOWN)
    found = dict(page.findings())
    assert (found["old"], found["male"]) == ("40.0 %", "25.0 %")
    assert "Nobody" not in page.page.content(), "neither the patient's name nor the file's"


def test_film_can_be_dropped_and_what_was_said_of_it_does_not_stay_for_the_next(page: WatchedPage) -> None:
    page.drop(base64.b64encode(png_film(seed=4)).decode())
    assert page.text("#chosen").startswith("PNG")
    page.page.fill("#age", "40")
    page.send()
    page.wait_for(SHOWN)
    assert dict(page.findings())["old"] == "20.0 %"
    page.go("#/send")
    page.wait_for("#send")
    assert page.page.input_value("#age") == ""
    assert page.page.locator("#submit").is_disabled()


def test_film_that_was_not_assessed_shows_the_reason_and_no_probability(page: WatchedPage) -> None:
    page.choose(BLANK)
    page.send()
    page.wait_for(".outcome.not_assessed", "Not assessed")
    page.wait_for(".reason", Reason.BLANK.meaning)
    assert page.page.locator(".probability, .findings, .mark").count() == 0
    assert "%" not in page.text(".column")
    page.page.wait_for_selector(".controls button:enabled")
    assert page.page.locator(".heat-offered:visible").count() == 0, "no heat map of a film that nobody judged"


def test_garbage_is_answered_with_what_the_service_says(open_page: OpenPage, stack: StackProcess) -> None:
    page = open_page(stack.wait_ready(), expected=("415",))
    page.choose(b"no film at all")
    page.send()
    page.wait_for("#send-message", "Send a DICOM Part 10, PNG or JPEG file; these bytes are none.")
    assert page.page.locator("#submit").is_enabled()


def test_age_that_cannot_be_is_not_sent(page: WatchedPage) -> None:
    page.choose(png_film(seed=5))
    page.page.fill("#age", "414")
    page.send()
    page.wait_for("#send-message", "0 to 120")
    assert page.page.locator(".outcome").count() == 0


def test_study_is_opened_from_the_worklist_with_the_keyboard(page: WatchedPage, api: httpx.Client) -> None:
    headers, study = {"Content-Type": "image/png"}, "1.2.826.0.1.55"
    sent = {"wait": 30, "priority": "stat", "study_uid": study}
    for film in (png_film(seed=6), BLANK[:-30]):
        assert api.post("/v1/instances", params=sent, content=film, headers=headers).status_code == 200
    page.look_again()
    row = page.wait_for(LINE, study)
    assert "Stat" in row.inner_text()
    row.locator("a").focus()
    page.page.keyboard.press("Enter")
    page.wait_for(SHOWN)
    outcomes = [button.inner_text() for button in page.page.locator(".choice button").all()]
    assert len(outcomes) == 2
    assert "Not assessed" in outcomes[1]
    page.page.locator(".choice button").nth(1).click()
    page.wait_for(".outcome.not_assessed")


def test_page_has_no_word_of_health(page: WatchedPage) -> None:
    page.choose(png_film(np.tile(np.arange(16, 48, dtype=np.uint8), (128, 4))))
    page.send()
    page.wait_for(".outcome.not_flagged")
    said = page.text("body").lower()
    assert "research use only" in said
    assert not [word for word in ("healthy", "normal", "clear of", "no finding") if word in said]
