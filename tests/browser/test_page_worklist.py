"""The worklist of a busy place: ten thousand studies, found by keyboard, and never shown fresher than they are."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.browser.conftest import OpenPage
from tests.browser.watched import LINE, WatchedPage
from tests.support.axe import axe_violations
from tests.support.films import png_film
from tests.support.many_studies import WorklistRig, worklist_rig

FEW = 40
MANY = 10_000
MOST_ROWS = 300
_GROUPS = ["Urgent (stat)", "Flagged", "Needs review", "Waiting", "Not flagged"]
# From the top to the end in steps, one for each frame; what is in the document at each of them.
_SCROLL = """async () => {
  const list = document.querySelector(".rows");
  const seen = [];
  for (let top = 0; top < list.scrollHeight; top += 5000) {
    list.scrollTop = top;
    await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
    seen.push(document.querySelectorAll("#worklist tr").length);
  }
  return Math.max(...seen);
}"""


@contextmanager
def rig_of(redis_binary: Path, count: int, **settings: object) -> Iterator[WorklistRig]:
    with (
        tempfile.TemporaryDirectory() as directory,
        worklist_rig(Path(directory), redis_binary, count=count, sites=("default", "icu"), **settings) as rig,
    ):
        yield rig


@pytest.fixture(scope="module")
def rig(redis_binary: Path) -> Iterator[WorklistRig]:
    """Few studies, of every kind, at two sites."""
    with rig_of(redis_binary, FEW) as running:
        yield running


# A page is closed before the service that it asks, so a test names the service first.
@pytest.fixture
def many(redis_binary: Path) -> Iterator[WorklistRig]:
    """As many studies as a busy place has."""
    with rig_of(redis_binary, MANY) as running:
        yield running


@pytest.fixture
def worklist(open_page: OpenPage, rig: WorklistRig) -> WatchedPage:
    page = open_page(rig.url)
    page.wait_for(LINE)
    return page


def shown(page: WatchedPage) -> list[str]:
    """Return the studies that are listed, from top to bottom; of a list that fits the document."""
    uids: list[str] = page.page.locator(f"{LINE} a").all_inner_texts()
    return uids


def counted(page: WatchedPage, name: str) -> int:
    return int(page.page.locator(f".segment.{name} b").inner_text().replace(",", ""))


def test_ten_thousand_studies_are_all_there_and_few_of_them_in_the_document(
    many: WorklistRig, open_page: OpenPage
) -> None:
    page = open_page(many.url)
    page.wait_for(".segment b", "10,000")
    page.page.wait_for_selector("#worklist-note", state="hidden")
    assert page.page.evaluate(_SCROLL) <= MOST_ROWS
    assert page.page.locator(f"{LINE} a").last.inner_text() in {study.study_uid for study in many.studies}
    assert counted(page, "flagged") == sum(study.outcome == "flagged" for study in many.studies)
    assert int(page.page.locator("#worklist").get_attribute("aria-rowcount") or 0) > MANY
    page.page.fill("#find", many.studies[MANY // 2].study_uid)
    page.wait_for(LINE, many.studies[MANY // 2].study_uid)
    assert len(shown(page)) == 1


def test_studies_are_listed_in_the_order_of_the_service_under_their_groups(
    worklist: WatchedPage, rig: WorklistRig
) -> None:
    with rig.gateway.client() as client:
        first = [line["study_uid"] for line in client.get("/v1/studies?limit=10").json()["studies"]]
    assert shown(worklist)[:10] == first
    titles = worklist.page.locator("#worklist .group .heading").all_inner_texts()
    assert titles
    places = [next(at for at, group in enumerate(_GROUPS) if title.startswith(group)) for title in titles]
    assert places == sorted(places)


def test_filters_narrow_the_list_and_escape_drops_them(worklist: WatchedPage, rig: WorklistRig) -> None:
    page = worklist.page
    icu = {study.study_uid for study in rig.studies if study.site == "icu"}
    page.select_option("#site", "icu")
    assert set(shown(worklist)) <= icu
    page.locator("#worklist a").first.focus()
    page.keyboard.press("f")
    assert page.locator(f"{LINE}:not([data-standing=flagged])").count() == 0
    assert shown(worklist)
    page.keyboard.press("u")
    assert page.locator(f"{LINE}:not([data-standing=review])").count() == 0
    page.keyboard.press("Escape")
    assert counted(worklist, "flagged") == sum(study.outcome == "flagged" for study in rig.studies)
    page.keyboard.press("/")
    page.keyboard.type("9.9.9.9")
    worklist.wait_for("#worklist-note", "No study matches the filters")


def test_list_is_walked_and_studies_are_opened_and_left_by_keyboard(worklist: WatchedPage) -> None:
    page = worklist.page
    uids = shown(worklist)
    for key in "jjjk":
        page.keyboard.press(key)
    assert page.evaluate("() => document.activeElement.textContent") == uids[1]
    page.keyboard.press("Enter")
    worklist.wait_for(".view.study")
    assert page.url.endswith(uids[1])
    page.keyboard.press("j")
    page.wait_for_url(f"**/{uids[2]}")
    page.keyboard.press("Escape")
    worklist.wait_for(LINE)
    page.wait_for_function("uid => document.activeElement.textContent === uid", arg=uids[2])
    page.keyboard.press("?")
    worklist.wait_for("dialog[open]", "next study")
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0


def test_study_becomes_overdue_and_the_list_is_called_old_though_everything_is_dead(
    open_page: OpenPage, redis_binary: Path
) -> None:
    with rig_of(redis_binary, FEW) as mortal:
        page = open_page(mortal.url, expected=("silence",))
        page.page.clock.install()
        page.page.reload()
        page.wait_for(".segment b", str(FEW))
        waiting, review = counted(page, "pending"), counted(page, "review")
        assert waiting > 0
        mortal.gateway.kill()
        mortal.server.kill()
        page.page.clock.fast_forward("20:00")
        page.wait_for("#stale.red", "Out of date")
        page.page.wait_for_function("() => document.querySelector('.segment.pending b').textContent === '0'")
        assert counted(page, "review") == review + waiting
        assert len(shown(page)) > 0
        assert axe_violations(page) == []


def sent(rig: WorklistRig, seed: int) -> str:
    """Send a film; return its study."""
    with rig.gateway.client() as client:
        answer = client.post("/v1/instances", content=png_film(seed=seed), headers={"Content-Type": "image/png"})
    assert answer.status_code == 202
    return str(answer.json()["study_uid"])


def test_page_hears_of_a_change_as_it_happens(worklist: WatchedPage, rig: WorklistRig) -> None:
    with worklist.page.expect_response("**/v1/events"):
        worklist.page.evaluate(
            """async () => {
              const { listen } = await import("/web/stream.js");
              window.heard = new Promise((resolve) => listen((event) => resolve(event.data)));
            }"""
        )
    study = sent(rig, seed=101)
    assert study in worklist.page.evaluate("() => window.heard")
    worklist.wait_for(LINE, study)


def test_page_that_cannot_listen_polls(open_page: OpenPage, rig: WorklistRig) -> None:
    page = open_page(rig.url, expected=("503",))
    page.page.route("**/v1/events", lambda route: route.fulfill(status=503, body=""))
    page.page.reload()
    page.wait_for(".connection.connected")
    page.wait_for(LINE, sent(rig, seed=102))


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_theme_is_what_the_system_wants_until_the_reader_chooses(
    open_page: OpenPage, rig: WorklistRig, scheme: str
) -> None:
    page = open_page(rig.url, color_scheme=scheme)
    other = "light" if scheme == "dark" else "dark"
    assert page.page.get_attribute("html", "data-theme") == scheme
    page.page.click("#theme")
    page.page.reload()
    assert page.page.get_attribute("html", "data-theme") == other


def test_archive_is_refused_with_advice_before_it_is_sent(worklist: WatchedPage) -> None:
    asked: list[str] = []
    worklist.page.on("request", lambda request: asked.append(request.method))
    worklist.go("#/send")
    worklist.page.set_input_files("#file", {"name": "films.zip", "mimeType": "", "buffer": b"PK\x03\x04 films"})
    worklist.wait_for("#send-message", "Unpack it")
    assert worklist.page.locator("#submit").is_disabled()
    assert "POST" not in asked


def test_film_that_is_dropped_anywhere_is_about_to_be_sent(worklist: WatchedPage) -> None:
    worklist.page.evaluate(
        """() => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([Uint8Array.from([0xff, 0xd8, 0xff, 0xe0])], "film"));
          const told = { dataTransfer: transfer, bubbles: true, cancelable: true };
          document.querySelector("#worklist").dispatchEvent(new DragEvent("drop", told));
        }"""
    )
    worklist.wait_for("#chosen", "JPEG")
    worklist.page.wait_for_selector("#submit:enabled")


def test_view_that_cannot_be_loaded_says_so_and_the_worklist_goes_on(open_page: OpenPage, rig: WorklistRig) -> None:
    page = open_page(rig.url, expected=("404",))
    page.page.route("**/web/study.js", lambda route: route.fulfill(status=404))
    page.page.reload()
    page.wait_for(LINE)
    page.page.locator(f"{LINE} a").first.click()
    page.wait_for(".view [role=alert]", "could not be loaded")
    page.page.keyboard.press("Escape")
    page.wait_for(LINE)


def test_worklist_of_which_nothing_is_known_counts_nothing(open_page: OpenPage, rig: WorklistRig) -> None:
    page = open_page(rig.url, expected=("503",))
    page.page.route("**/v1/studies?*", lambda route: route.fulfill(status=503, body=""))
    page.page.reload()
    page.wait_for("#worklist-note", "That does not mean that it is empty")
    assert set(page.page.locator(".segment b").all_inner_texts()) == {"–"}
