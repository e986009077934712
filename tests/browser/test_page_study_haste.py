"""A reader who is faster than the service: no picture and no question of one film ends up with another."""

from __future__ import annotations

from typing import Final

import httpx
import pytest

from tests.browser.conftest import OpenPage
from tests.browser.test_page_study import BLANK, FLAGGED, look_at, middle, sent, wait_for_film, wait_for_heat
from tests.browser.watched import WatchedPage
from tests.support.films import png_film, uid_of
from tests.support.stack import StackProcess

# The picture of that number is decoded only once it is let go, as on a slow machine; the others go on.
_HOLD_DECODING: Final = """(number) => {
  const decode = window.createImageBitmap;
  let count = 0;
  window.held = null;
  window.createImageBitmap = async (...picture) => {
    count += 1;
    if (count !== number) return decode(...picture);
    await new Promise((resolve) => (window.held = resolve));
    return (window.decoded = decode(...picture));
  };
}"""
# Let it go, and wait until the page has had its say on it.
_LET_GO: Final = """async () => {
  const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
  window.held();
  while (window.decoded === undefined) await frame();
  await window.decoded;
  await frame();
  await frame();
}"""


@pytest.mark.parametrize("late", ["film", "heat"])
def test_picture_that_is_decoded_late_is_not_laid_under_the_facts_of_another_film(
    page: WatchedPage, api: httpx.Client, late: str
) -> None:
    pixels = FLAGGED - (40 if late == "film" else 41)
    left = sent(api, png_film(pixels), study_uid=uid_of(f"left {late}"))
    wrong = sent(api, png_film(pixels - 2), study_uid=uid_of(f"without a picture {late}"))
    assert api.delete(f"/v1/instances/{wrong.id}").is_success
    other = sent(api, png_film(BLANK + 40), study_uid=wrong.study_uid)
    page.page.evaluate(_HOLD_DECODING, 1 if late == "film" else 2)
    look_at(page, left)
    page.page.wait_for_function("() => window.held !== null")
    target = wrong if late == "film" else other
    look_at(page, target, film=True)
    if late == "film":
        page.wait_for(".stage-words", "are not shown")
    else:
        wait_for_film(page)
    page.page.evaluate(_LET_GO)
    if late == "film":
        page.wait_for(".stage-words", "are not shown")
        assert page.page.locator(".stage canvas").is_hidden()
    else:
        assert page.page.locator(".heat-offered:visible").count() == 0
        shown = middle(page)
        assert shown[0] == shown[1] == shown[2], "gray: the heat is another film's"


@pytest.mark.parametrize(("picture", "status"), [("preview.png", 401), ("heatmap.png", 401), ("heatmap.png", 500)])
def test_picture_that_was_refused_for_a_while_comes_by_itself(
    open_page: OpenPage, stack: StackProcess, picture: str, status: int
) -> None:
    page = open_page(stack.wait_ready(), expected=(str(status),))
    problem = '{"code":"a code of the test","detail":"not now"}'
    headers = {"Content-Type": "application/problem+json"}
    refuse = lambda route: route.fulfill(status=status, headers=headers, body=problem)  # noqa: E731
    page.page.route(f"**/{picture}*", refuse, times=1)
    with stack.client() as api:
        look_at(page, sent(api, png_film(FLAGGED - 47), study_uid=uid_of(f"{picture} {status}")))
    wait_for_film(page)
    wait_for_heat(page)


def test_question_goes_with_its_film(page: WatchedPage, api: httpx.Client) -> None:
    left, other = (sent(api, png_film(FLAGGED - 50 - at), study_uid=uid_of(f"question {at}")) for at in range(2))
    look_at(page, other)
    look_at(page, left)
    page.page.get_by_role("button", name="Withdraw …").click()
    page.wait_for("dialog.question", left.id[:12])
    page.page.go_back()
    page.page.wait_for_function("id => document.querySelector('.facts')?.textContent.includes(id)", arg=other.id)
    page.page.wait_for_selector("dialog.question", state="detached")
    assert {api.get(f"/v1/instances/{film.id}").json()["outcome"] for film in (left, other)} == {"flagged"}
