"""A study on the page: its films, what became of them, and what can be done, as a reader sees and does it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Final

import cv2
import httpx
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from model.errors import Reason
from services.jobs.records import Record
from tests.browser.conftest import OpenPage
from tests.browser.watched import WatchedPage
from tests.support.films import dicom_film, png_film, uid_of
from tests.support.stack import StackProcess

FLAGGED: Final = np.tile(np.linspace(120, 255, 128).astype(np.uint8), (128, 1))
NOT_FLAGGED: Final = np.tile(np.arange(16, 48, dtype=np.uint8), (128, 4))
BLANK: Final = np.full((128, 128), 7, np.uint8)
SHOWN: Final = ".outcome:not(.pending)"
# The film's own pixel in the middle of the stage, as it is shown; the heat map, if any, over it.
_MIDDLE: Final = """() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => {
  const canvas = document.querySelector(".stage canvas");
  const at = [Math.floor(canvas.width / 2), Math.floor(canvas.height / 2)];
  const pixel = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  pixel.drawImage(canvas, ...at, 1, 1, 0, 0, 1, 1);
  resolve([...pixel.getImageData(0, 0, 1, 1).data].slice(0, 3));
})))"""


def sent(api: httpx.Client, film: bytes, kind: str = "image/png", **parameters: Any) -> Record:
    """Send a film; return its record once it is done."""
    answer = api.post("/v1/instances", params={"wait": 30} | parameters, content=film, headers={"Content-Type": kind})
    assert answer.status_code == 200, answer.text
    return Record.model_validate_json(answer.content)


def look_at(page: WatchedPage, record: Record, *, film: bool = False) -> None:
    """Open the film's study, or the film in it, and wait until its outcome is shown."""
    page.go(f"#/study/{record.site}/{record.study_uid}" + (f"/{record.id}" if film else ""))
    page.page.wait_for_function("id => document.querySelector('.facts')?.textContent.includes(id)", arg=record.id)


def wait_for_film(page: WatchedPage) -> None:
    page.page.wait_for_selector(".controls button:enabled")


def wait_for_heat(page: WatchedPage) -> None:
    page.page.wait_for_selector(".heat-offered button:enabled")


def middle(page: WatchedPage) -> list[int]:
    levels: list[int] = page.page.evaluate(_MIDDLE)
    return levels


def test_study_shows_what_the_record_of_its_film_says(page: WatchedPage, api: httpx.Client) -> None:
    record = sent(api, png_film(FLAGGED), age=60, sex="F")
    look_at(page, record)
    assert record.outcome is not None
    assert record.outcome.value == "flagged"
    assert page.text(".outcome").startswith("Flagged")
    assert f"{100 * (record.probability or 0):.1f} %" in page.text(".probability")
    assert f"at or above the threshold of {100 * (record.threshold or 0):.1f} %" in page.text(".probability")
    assert record.policy is not None
    assert record.policy.name in page.text(".probability")
    assert record.model is not None
    assert f"{record.model.name} {record.model.version}" in page.text(".facts")
    page.wait_for(".probability", "at least one of the findings")
    by_probability = sorted(record.findings or (), key=lambda finding: -finding.probability)
    assert page.findings() == [(found.label, f"{100 * found.probability:.1f} %") for found in by_probability]
    assert page.bar_widths() == pytest.approx([found.probability for found in by_probability], abs=0.02)


def test_window_and_level_by_drag_are_the_linear_function_of_the_standard(page: WatchedPage, api: httpx.Client) -> None:
    look_at(page, sent(api, png_film(FLAGGED, seed=2), study_uid=uid_of("drag")))
    wait_for_film(page)
    wait_for_heat(page)
    page.page.keyboard.press("h")
    before = middle(page)[0]
    box = page.page.locator(".stage").bounding_box()
    x, y = box["x"] + 200, box["y"] + 200
    page.page.mouse.move(x, y)
    page.page.mouse.down()
    page.page.mouse.move(x - 60, y + 80, steps=4)
    page.page.mouse.up()
    assert page.text(".readout").startswith("W 226 L 168"), "to the left more contrast, down darker"
    expected = ((before - (168 - 0.5)) / (226 - 1) + 0.5) * 255
    assert middle(page)[0] == pytest.approx(expected, abs=1.5)
    assert page.page.input_value(".slider input") == "226"


def test_levels_of_every_window_are_those_of_the_standard(page: WatchedPage) -> None:
    cases = [(256, 128), (2, 0), (2, 255), (512, 40), (100, 200)]
    call = """async (cases) => {
      const { shownLevels } = await import("/web/window_level.js");
      const both = (chosen) => [false, true].map((isInverted) => [...shownLevels(chosen, isInverted)]);
      return cases.map(([window, level]) => both({ window, level }));
    }"""
    for (width, level), (shown, inverted) in zip(cases, page.page.evaluate(call, cases), strict=True):
        share = np.clip((np.arange(256) - (level - 0.5)) / (width - 1) + 0.5, 0, 1)
        assert shown == np.rint(255 * share).astype(int).tolist()
        assert inverted == np.rint(255 * (1 - share)).astype(int).tolist()
    assert page.page.evaluate(call, [(256, 128)])[0][0] == list(range(256)), "the whole window changes nothing"


def test_film_is_turned_enlarged_inverted_and_reset_by_keyboard(page: WatchedPage, api: httpx.Client) -> None:
    look_at(page, sent(api, png_film(FLAGGED, seed=3), study_uid=uid_of("keys")))
    wait_for_film(page)
    page.page.locator(".stage").focus()
    for key in ("ArrowLeft", "ArrowDown", "+", "i"):
        page.page.keyboard.press(key)
    assert page.text(".readout") == "W 248 L 136 inverted × 1.3"
    assert page.page.get_attribute(".controls [aria-keyshortcuts=i]", "aria-pressed") == "true"
    page.page.keyboard.press("0")
    assert page.text(".readout") == "W 256 L 128 fitted"
    page.page.keyboard.press("w")
    assert page.text(".readout") != "W 256 L 128 fitted"


def test_heat_lies_over_the_film_as_strong_as_is_wanted(page: WatchedPage, api: httpx.Client) -> None:
    asked: list[str] = []
    page.page.on("request", lambda request: asked.append(request.url))
    record = sent(api, png_film(FLAGGED, seed=4), study_uid=uid_of("heat"))
    look_at(page, record)
    wait_for_heat(page)
    heat = _decoded(api.get(f"/v1/instances/{record.id}/heatmap.png?layer=heat").content)
    blue_alpha = heat[heat.shape[0] // 2, heat.shape[1] // 2, 3] / 255
    assert blue_alpha > 0.05, "the film is hot in its middle"
    page.page.keyboard.press("h")
    film = middle(page)
    assert film[0] == film[1] == film[2], "gray without heat"
    page.page.keyboard.press("h")
    opacity = page.page.locator("input[aria-label=Opacity]")
    opacity.fill("100")
    full = middle(page)
    opacity.fill("50")
    half = middle(page)
    assert full[2] == pytest.approx(film[2] * (1 - blue_alpha), abs=6), "as the service draws it"
    assert half[2] == pytest.approx(film[2] * (1 - blue_alpha / 2), abs=6)
    opacity.fill("0")
    assert middle(page) == film
    assert not [url for url in asked if url.endswith("heatmap.png")], "the heat alone is fetched"


def test_films_of_a_study_are_chosen_by_button_by_key_and_by_address(page: WatchedPage, api: httpx.Client) -> None:
    study = uid_of("three films")
    films = [sent(api, png_film(pixels), study_uid=study) for pixels in (BLANK + 1, NOT_FLAGGED + 1, FLAGGED - 1)]
    look_at(page, films[2])
    tabs = page.page.locator(".choice button")
    assert [tab.inner_text() for tab in tabs.all()] == [
        "Film 1: Not assessed",
        "Film 2: Not flagged",
        "Film 3: Flagged",
    ]
    assert tabs.nth(2).get_attribute("aria-pressed") == "true", "the film that makes the study what it is comes first"
    tabs.nth(0).click()
    page.wait_for(".outcome.not_assessed")
    assert page.page.url.endswith(films[0].id)
    page.page.keyboard.press("2")
    page.wait_for(".outcome.not_flagged", "does not clear the film")
    page.go(f"#/study/default/{study}/{films[0].id}")
    page.wait_for(".outcome.not_assessed")


def test_film_that_was_not_assessed_shows_reason_advice_and_no_number(page: WatchedPage, api: httpx.Client) -> None:
    look_at(page, sent(api, png_film(BLANK + 2)))
    page.wait_for(".reason", Reason.BLANK.meaning)
    page.wait_for(".reason li", "was there an exposure?")
    wait_for_film(page)
    assert page.page.locator(".probability, .findings, .mark, .heat-offered:visible").count() == 0
    assert "%" not in page.text(".column")


def test_help_names_every_key_of_the_film(page: WatchedPage) -> None:
    keys = page.page.evaluate("""async () => (await import("/web/film_keys.js")).KEYS""")
    page.page.keyboard.press("?")
    page.wait_for("#help", "In a study")
    terms = page.page.eval_on_selector_all(
        "#help dl:last-of-type dt",
        "terms => terms.map(term => [term.textContent, term.nextElementSibling.textContent])",
    )
    assert terms == keys


def test_every_reason_has_steps_of_its_own(page: WatchedPage) -> None:
    steps = page.page.evaluate(
        """async (reasons) => {
          const { adviceFor } = await import("/web/advice.js");
          return reasons.map((reason) => adviceFor(reason));
        }""",
        [*Reason, "a reason of tomorrow"],
    )
    *known, unknown = steps
    assert all(known)
    assert unknown
    assert unknown not in known


def test_withdrawing_is_asked_for_once_more_and_can_be_left(page: WatchedPage, api: httpx.Client) -> None:
    study = uid_of("withdrawn")
    kept = sent(api, png_film(NOT_FLAGGED + 2), study_uid=study)
    wrong = sent(api, png_film(FLAGGED - 2), study_uid=study)
    look_at(page, wrong)
    page.page.get_by_role("button", name="Withdraw …").click()
    assert page.page.evaluate("() => document.activeElement.textContent") == "Leave it"
    page.page.keyboard.press("Enter")
    page.page.wait_for_selector("dialog.question", state="detached")
    assert api.get(f"/v1/instances/{wrong.id}").json()["outcome"] == "flagged"
    page.page.get_by_role("button", name="Withdraw …").click()
    page.page.get_by_role("button", name="Withdraw the film").click()
    page.wait_for(".choice button", "Film 2: Withdrawn")
    assert api.get(f"/v1/instances/{wrong.id}").json()["reason"] == "withdrawn"
    look_at(page, kept, film=True)
    page.wait_for(".outcome.not_flagged")
    page.wait_for(".study-head .badge", "Not flagged")


def test_study_of_a_withdrawn_film_only_tells_what_became_of_it(open_page: OpenPage, stack: StackProcess) -> None:
    page = open_page(stack.wait_ready(), expected=("404",))
    with stack.client() as api:
        record = sent(api, png_film(FLAGGED - 3))
        assert api.delete(f"/v1/instances/{record.id}").is_success
    look_at(page, record, film=True)
    page.wait_for(".outcome", "Withdrawn")
    page.wait_for(".stage-words", "are not shown")
    page.page.locator(".decisions summary").click()
    page.wait_for(".decisions td", "Flagged")


def test_film_that_is_scored_again_shows_its_earlier_decision(page: WatchedPage, api: httpx.Client) -> None:
    look_at(page, sent(api, png_film(FLAGGED - 4)))
    assert page.page.locator(".decisions").count() == 0
    page.page.get_by_role("button", name="Score again …").click()
    page.page.get_by_role("button", name="Score it again").click()
    page.wait_for(".decisions summary", "Earlier decisions (1)")
    page.wait_for(".outcome.flagged")


def test_results_are_downloaded_as_dicom(page: WatchedPage, api: httpx.Client) -> None:
    record = sent(api, dicom_film(seed=21, PatientName="Nobody^Known"), "application/dicom")
    look_at(page, record)
    for button, modality in (("Report (DICOM SR)", "SR"), ("Overlay (DICOM)", "OT")):
        with page.page.expect_download() as download:
            page.page.get_by_role("button", name=button).click()
        content = Path(download.value.path()).read_bytes()
        assert pydicom.dcmread(io.BytesIO(content)).Modality == modality
        assert "Nobody" not in download.value.suggested_filename
    assert "Nobody" not in page.page.content()


def test_study_that_is_not_known_says_what_to_do(open_page: OpenPage, stack: StackProcess) -> None:
    page = open_page(stack.wait_ready(), expected=("404",))
    page.go("#/study/default/1.2.3.4")
    page.wait_for(".notice", "This study is not here")
    assert page.page.locator(".outcome, .probability").count() == 0
    page.page.locator(".back").click()
    page.page.wait_for_selector(".study-head", state="detached")


def test_pictures_past_retention_are_said_and_the_outcome_stays(open_page: OpenPage, stack: StackProcess) -> None:
    page = open_page(stack.wait_ready(), expected=("410",))
    with stack.client() as api:
        records = [sent(api, png_film(FLAGGED - 5)), sent(api, png_film(FLAGGED - 6))]
        _lose(stack, records[0], "heatmap")
        look_at(page, records[0])
        page.wait_for(".heat-words", "kept, but not any more")
        wait_for_film(page)
        _lose(stack, records[1], "preview")
        look_at(page, records[1])
        page.wait_for(".stage-words", "kept, but not any more")
        page.wait_for(".outcome.flagged")
        assert page.page.locator(".controls").is_hidden()


def test_page_of_a_study_has_no_word_of_health(page: WatchedPage, api: httpx.Client) -> None:
    look_at(page, sent(api, png_film(NOT_FLAGGED + 3)))
    page.wait_for(".outcome.not_flagged")
    said = page.text("body").lower()
    assert not [word for word in ("healthy", "normal", "clear of", "no finding") if word in said]


def _decoded(png: bytes) -> NDArray[np.uint8]:
    return np.asarray(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED), dtype=np.uint8)


def _lose(stack: StackProcess, record: Record, picture: str) -> None:
    """Remove what a worker kept of a film, as retention does."""
    (kept,) = stack.data_dir.rglob(f"{record.id}.*.{picture}*")
    kept.unlink()
