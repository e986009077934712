"""A study on the page can be used by everybody: what axe-core finds in both themes, and on screens of three sizes."""

from __future__ import annotations

import httpx
import pytest

from services.jobs.records import Record
from tests.browser.conftest import OpenPage
from tests.browser.test_page_study import BLANK, FLAGGED, NOT_FLAGGED, look_at, sent, wait_for_film, wait_for_heat
from tests.support.axe import axe_violations
from tests.support.films import png_film, uid_of
from tests.support.stack import StackProcess

_STICKING_OUT = """() => [...document.querySelectorAll("main *")]
  .filter((element) => element.checkVisibility() && !element.closest(".scroll-x, .unseen"))
  .filter((element) => element.getBoundingClientRect().right > innerWidth + 0.5)
  .map((element) => `${element.tagName} ${element.className}: ${element.textContent.trim().slice(0, 40)}`)"""


@pytest.fixture
def films(api: httpx.Client) -> list[Record]:
    """A study of one film of each outcome."""
    study = uid_of("looks")
    return [sent(api, png_film(pixels), study_uid=study) for pixels in (FLAGGED - 30, NOT_FLAGGED + 30, BLANK + 30)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_study_has_no_fault_that_axe_finds(
    open_page: OpenPage, stack: StackProcess, films: list[Record], scheme: str
) -> None:
    page = open_page(stack.wait_ready(), color_scheme=scheme, expected=("404",))
    for record in films:
        look_at(page, record, film=True)
        wait_for_film(page)
        page.wait_for(".reading")
        if record.reason is None:
            wait_for_heat(page)
        else:
            page.wait_for(".reason li")
        page.page.locator(".about summary").click()
        assert axe_violations(page) == [], record.outcome
    page.page.get_by_role("button", name="Withdraw …").click()
    assert axe_violations(page) == []
    page.page.keyboard.press("Escape")
    page.go("#/study/default/1.2.3.4")
    page.wait_for(".notice", "not here")
    assert axe_violations(page) == []


@pytest.mark.parametrize(("width", "height"), [(360, 740), (820, 1180), (1280, 800)])
def test_nothing_of_a_study_sticks_out_and_the_film_is_large(
    open_page: OpenPage, stack: StackProcess, films: list[Record], width: int, height: int
) -> None:
    page = open_page(stack.wait_ready(), viewport={"width": width, "height": height})
    for record in films:
        look_at(page, record, film=True)
        wait_for_film(page)
        assert page.page.evaluate(_STICKING_OUT) == [], record.outcome
    box = page.page.locator(".stage").bounding_box()
    assert box["height"] > height * 0.45
    assert box["width"] > min(width - 40, 700)
    if width >= 820:
        controls = page.page.locator(".controls").bounding_box()
        assert controls["y"] + controls["height"] <= height, "the film and what turns it fit on the screen together"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_film_stands_on_black_in_either_theme(
    open_page: OpenPage, stack: StackProcess, films: list[Record], scheme: str
) -> None:
    page = open_page(stack.wait_ready(), color_scheme=scheme)
    look_at(page, films[0])
    wait_for_film(page)
    assert page.page.eval_on_selector(".stage", "stage => getComputedStyle(stage).backgroundColor") == "rgb(0, 0, 0)"
