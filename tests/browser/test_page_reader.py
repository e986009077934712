"""What a reader says of a study on the page; and a blind reading, whose outcome stays hidden until it is said."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from services.jobs.records import Record
from tests.browser.conftest import OpenPage
from tests.browser.test_page_study import FLAGGED, NOT_FLAGGED, look_at, sent
from tests.browser.watched import LINE, WatchedPage
from tests.support.films import dicom_film, png_film, uid_of
from tests.support.finding_bundles import write_finding_bundle
from tests.support.stack import StackProcess

# Of a film that is scored, whatever became of it: none of it may be on the page before the reader has spoken.
TELLING = ".probability, .findings, .mark, .decisions, .acts, .facts, .heat-offered:visible, .outcome.flagged"


@pytest.fixture(scope="module")
def drawing(redis_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    """A stack that draws every study to be read blind."""
    directory = tmp_path_factory.mktemp("reader")
    with StackProcess(directory, bundle=write_finding_bundle(directory / "bundle"), api_blind_share=1.0) as running:
        running.wait_ready()
        yield running
        assert running.stop() == 0, running.output[-3000:]


@pytest.fixture
def blind_api(drawing: StackProcess) -> Iterator[httpx.Client]:
    with drawing.client() as client:
        yield client


def assessments_of(api: httpx.Client, record: Record) -> list[dict[str, object]]:
    said: list[dict[str, object]] = api.get(f"/v1/studies/{record.study_uid}/assessments").json()["assessments"]
    return said


def assert_veiled(page: WatchedPage) -> None:
    """Nothing that would tell the outcome is in the document: no part, no word, no attribute, no title."""
    assert page.page.locator(TELLING).count() == 0
    assert "%" not in page.text("main")
    document = (page.page.inner_html("main") + page.page.title()).lower()
    assert not [word for word in ("flagged", "not_assessed", "not assessed") if word in document]


def test_reader_says_what_the_study_shows_and_the_verdict_follows(page: WatchedPage, api: httpx.Client) -> None:
    record = sent(api, png_film(FLAGGED - 20))
    look_at(page, record)
    page.wait_for(".reading")
    page.page.get_by_role("button", name="Keep the reading").click()
    page.wait_for(".reading .message", "Say what the study shows")
    page.page.get_by_label("None seen").check()
    assert page.page.get_by_label("I disagree").is_checked(), "flagged, and nothing seen"
    page.page.get_by_label("A finding").check()
    assert page.page.get_by_label("I agree").is_checked()
    page.page.get_by_label("Known from").select_option("report")
    page.page.get_by_role("button", name="Keep the reading").click()
    page.wait_for(".readings li", "A finding, agrees with flagged")
    (said,) = assessments_of(api, record)
    assert (said["truth"], said["verdict"], said["source"], said["blind"]) == ("finding", "agree", "report", False)


def test_verdict_of_the_readers_own_is_not_changed(page: WatchedPage, api: httpx.Client) -> None:
    record = sent(api, png_film(NOT_FLAGGED + 20))
    look_at(page, record)
    page.wait_for(".reading")
    page.page.get_by_label("I disagree").check()
    page.page.get_by_label("None seen").check()
    assert page.page.get_by_label("I disagree").is_checked()


def test_reading_form_is_reached_and_filled_in_by_keyboard(page: WatchedPage, api: httpx.Client) -> None:
    record = sent(api, png_film(FLAGGED - 21))
    look_at(page, record)
    page.wait_for(".reading")
    page.page.locator(".stage").focus()
    page.page.keyboard.press("a")
    page.page.keyboard.press("Space")
    page.page.keyboard.press("Enter")
    page.wait_for(".readings li", "A finding")
    assert len(assessments_of(api, record)) == 1


@pytest.mark.parametrize("film", [FLAGGED - 22, NOT_FLAGGED + 22], ids=["flagged", "not flagged"])
def test_blind_study_hides_what_became_of_it_until_the_reader_has_spoken(
    drawing: StackProcess, blind_api: httpx.Client, open_page: OpenPage, film: object
) -> None:
    record = sent(blind_api, png_film(film))  # type: ignore[arg-type]  # an array, as pytest knows none
    page = open_page(drawing.wait_ready())
    asked: list[str] = []
    page.page.on("request", lambda request: asked.append(request.url))
    page.go(f"#/study/default/{record.study_uid}/blind")
    page.wait_for(".reading")
    page.page.wait_for_selector(".controls button:enabled")
    page.page.keyboard.press("h")
    assert_veiled(page)
    assert [url for url in asked if "preview.png" in url], "the film itself is shown"
    assert not [url for url in asked if any(part in url for part in ("heatmap", "decisions", "report", "overlay"))]
    page.page.get_by_label("Uncertain").check()
    page.page.get_by_role("button", name="Keep it, and show the outcome").click()
    page.wait_for(f".outcome.{record.outcome}")
    page.wait_for(".probability")
    page.wait_for(".readings li", "Uncertain")
    (kept,) = assessments_of(blind_api, record)
    assert (kept["blind"], kept["truth"], kept["verdict"]) == (True, "uncertain", None)


def test_veil_is_not_lifted_where_nothing_is_known_of_readings(
    drawing: StackProcess, blind_api: httpx.Client, open_page: OpenPage
) -> None:
    record = sent(blind_api, png_film(FLAGGED - 23))
    page = open_page(drawing.wait_ready(), expected=("503",))
    problem = '{"code":"queue_unavailable","detail":"Not now."}'
    headers = {"Content-Type": "application/problem+json"}
    page.page.route("**/assessments?*", lambda route: route.fulfill(status=503, headers=headers, body=problem))
    page.go(f"#/study/default/{record.study_uid}/blind")
    page.wait_for(".notice", "the outcome stays hidden")
    assert_veiled(page)


def test_study_that_was_read_blind_meanwhile_says_so(
    drawing: StackProcess, blind_api: httpx.Client, open_page: OpenPage
) -> None:
    record = sent(blind_api, png_film(FLAGGED - 24))
    said = {"truth": "finding", "source": "reader", "blind": True}
    assert blind_api.post(f"/v1/studies/{record.study_uid}/assessments", json=said).status_code == 201
    page = open_page(drawing.wait_ready())
    page.go(f"#/study/default/{record.study_uid}/blind")
    page.wait_for(".notice", "does not wait to be read blind any more")
    page.wait_for(".outcome.flagged")


def test_way_from_one_blind_study_to_the_next_and_back_keeps_the_veil(
    drawing: StackProcess, blind_api: httpx.Client, open_page: OpenPage
) -> None:
    drawn = [sent(blind_api, png_film(film)) for film in (FLAGGED - 25, NOT_FLAGGED + 25, FLAGGED - 26)]
    page = open_page(drawing.wait_ready())
    page.wait_for(LINE)
    page.page.keyboard.press("b")
    for record in drawn:  # the lot is drawn a moment after the outcome
        page.wait_for(f"{LINE}[data-study$='{record.study_uid}']", "To be read blind")
    page.page.locator(f"{LINE} a").first.click()
    page.wait_for(".reading")
    seen = [page.page.url]
    for move in (press("j"), press("j"), press("k"), click(".step[data-by='1']"), click(".step[data-by='-1']"), back):
        move(page)
        page.page.wait_for_function("before => window.location.href !== before", arg=seen[-1])
        page.wait_for(".reading")
        page.page.wait_for_selector(".controls button:enabled")
        assert page.page.url.endswith("/blind")
        assert_veiled(page)
        seen.append(page.page.url)
    assert len(set(seen)) == 3


def test_film_of_a_blind_study_that_could_not_be_judged_is_not_told_from_the_others(
    drawing: StackProcess, blind_api: httpx.Client, open_page: OpenPage
) -> None:
    record = sent(blind_api, png_film(FLAGGED - 27), study_uid=uid_of("blind of two"))
    unread = sent(blind_api, dicom_film(seed=5, StudyInstanceUID=record.study_uid, Modality="CT"), "application/dicom")
    assert unread.reason is not None
    assert unread.study_uid == record.study_uid
    page = open_page(drawing.wait_ready())
    page.go(f"#/study/default/{record.study_uid}/blind")
    page.wait_for(".reading")
    page.page.wait_for_selector(".controls button:enabled")
    assert_veiled(page)
    page.page.keyboard.press("2")
    page.wait_for(".stage-words", "No picture")
    assert page.text(".stage-words") == "No picture Read it where it is archived."
    assert_veiled(page)


def press(key: str) -> Callable[[WatchedPage], None]:
    return lambda page: page.page.keyboard.press(key)


def click(selector: str) -> Callable[[WatchedPage], None]:
    return lambda page: page.page.locator(selector).click()


def back(page: WatchedPage) -> None:
    page.page.go_back()
