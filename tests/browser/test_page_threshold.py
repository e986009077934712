"""A lead radiologist's walk: see what a threshold does, try it on the site's films, save it; and what readers found."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest

from tests.browser.conftest import OpenPage
from tests.browser.thresholds import (
    OWN_THRESHOLD,
    SITE,
    choose,
    gauge,
    open_explorer,
    running_stack,
    submit,
)
from tests.support.axe import axe_violations
from tests.support.stack import StackProcess

SIZES: Final = [(1280, 800), (820, 1180), (360, 740)]
_STICKING_OUT: Final = """() => [...document.querySelectorAll("main *")]
  .filter((element) => element.parentElement.closest(".scroll-x") === null && !element.closest("svg"))
  .filter((element) => element.checkVisibility() && element.getBoundingClientRect().right > innerWidth + 1)
  .map((element) => `${element.tagName} ${element.className}: ${element.textContent.trim().slice(0, 40)}`)"""


@pytest.fixture(scope="module")
def stack(redis_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    with running_stack(tmp_path_factory.mktemp("threshold")) as running:
        yield running


# -- what a threshold does ------------------------------------------------------------------------------------------


def test_explorer_opens_at_the_threshold_in_force_with_its_films_counted(
    open_page: OpenPage, stack: StackProcess, api: httpx.Client
) -> None:
    page = open_explorer(open_page, stack)
    document = api.get(SITE).json()
    table = api.get(f"/v1/models/{document['default']['digest']}/operating-points").json()["table"]
    row = next(row for row in table["rows"] if row["threshold"] >= OWN_THRESHOLD)
    assert (table["positives"], table["negatives"]) == (91, 69)
    assert float(page.page.input_value("#threshold")) == OWN_THRESHOLD
    assert f"{row['true_positives']} of 91 test films with a finding are flagged" in gauge(page, "Sensitivity")
    assert f"{69 - row['false_positives']} of 69 without one" in gauge(page, "Specificity")
    assert f"{100 * row['true_positives'] / 91:.1f} %" in gauge(page, "Sensitivity")
    missed = 100 * (1 - row["true_positives"] / 91)
    assert f"Missed per 1,000 {missed:.1f} " in gauge(page, "Missed"), "at a prevalence of 10 %"
    assert "91 test films with a finding and 69 without" in page.text(".footing.prose")
    assert "129 test patients" in page.text(".footing.prose")
    assert "Cleared is not read: every film still has to be" in page.text(".does")


def test_server_and_page_agree_on_every_interval(open_page: OpenPage, stack: StackProcess, api: httpx.Client) -> None:
    page = open_explorer(open_page, stack)
    for threshold in (0.2, 0.45, 0.7):
        told = api.post(f"{SITE}/preview", json={"threshold": threshold}).json()
        choose(page, threshold)
        for name in ("sensitivity", "specificity"):
            value, low, high = (f"{100 * told[name][key]:.1f} %" for key in ("value", "low", "high"))
            assert gauge(page, name.title()).startswith(f"{name.title()} {value} {low} to {high}")


def test_prevalence_of_the_site_moves_what_depends_on_it_and_nothing_else(
    open_page: OpenPage, stack: StackProcess
) -> None:
    page = open_explorer(open_page, stack)
    choose(page, 0.56)
    before = [gauge(page, name) for name in ("Sensitivity", "Missed")]
    assert "that of flagging everything is 0.526" in page.text(".against")
    assert "F3 asks for more than 18." in page.text(".against")
    page.page.fill("#prevalence", "45.9")
    assert gauge(page, "Sensitivity") == before[0]
    assert gauge(page, "Missed") != before[1]
    assert "that of flagging everything is 0.895" in page.text(".against"), "report 002's films, and its benchmark"
    page.page.fill("#prevalence", "0")
    choose(page, 0.2)
    assert "has to be a percentage from 0.1 to 99.9" in page.text("#dial-message")
    assert "still those of threshold 0.5600 and prevalence 45.9 %" in page.text("#dial-message")
    assert page.page.locator(".saving button[type=submit]").is_disabled()
    page.page.fill("#prevalence", "0.1")
    assert gauge(page, "Missed").startswith("Missed per 1,000 < 0.1 < 0.1 to "), "a miss is never rounded to none"
    for written in ("100", ""):
        page.page.fill("#prevalence", written)
        assert "has to be a percentage from 0.1 to 99.9" in page.text("#dial-message")


def test_both_ends_of_the_slider_are_reached_by_keyboard_and_say_what_they_are(
    open_page: OpenPage, stack: StackProcess
) -> None:
    page = open_explorer(open_page, stack)
    page.page.focus("#threshold-slider")
    page.page.keyboard.press("Home")
    assert gauge(page, "Sensitivity").startswith("Sensitivity 100.0 % by construction")
    assert gauge(page, "Missed").startswith("Missed per 1,000 0.0 by construction")
    assert "This is flagging everything." in page.text(".against")
    assert page.page.locator(".saving button[type=submit]").is_enabled()
    page.page.keyboard.press("End")
    assert gauge(page, "Sensitivity").startswith("Sensitivity 0.0 % 0.0 % to ")
    assert gauge(page, "Missed").startswith("Missed per 1,000 100 ")
    assert "below the floor of 95.0 %" in page.text(".saving .what")
    assert page.page.locator(".saving button[type=submit]").is_disabled()
    said = page.page.get_attribute("#threshold-slider", "aria-valuetext")
    assert said == "1: sensitivity 0.0 %, 100 missed per 1,000"
    page.page.keyboard.press("ArrowLeft")
    assert "1 of 91 test films with a finding" in gauge(page, "Sensitivity"), "a step is a test film that changes sides"


def test_threshold_that_is_no_number_is_not_saved_and_the_last_figures_stay(
    open_page: OpenPage, stack: StackProcess
) -> None:
    page = open_explorer(open_page, stack)
    before = gauge(page, "Sensitivity")
    for written in ("", "1.2", "-1"):
        page.page.fill("#threshold", written)
        assert "has to be a number from 0 to 1" in page.text("#dial-message")
        assert page.page.locator(".saving button[type=submit]").is_disabled()
    assert gauge(page, "Sensitivity") == before


# -- on the site's own films ----------------------------------------------------------------------------------------


def test_preview_lists_the_films_that_would_change_and_leads_to_them(
    open_page: OpenPage, stack: StackProcess, api: httpx.Client
) -> None:
    dim, bright = submit(api, 0.36, 1), submit(api, 0.45, 2)
    assert dim["outcome"] == bright["outcome"] == "flagged"
    page = open_explorer(open_page, stack)
    between = (dim["probability"] + bright["probability"]) / 2
    choose(page, between)
    lost = page.wait_for(".changed", "Were flagged, and would not be:")
    link = lost.locator(f"a[title='{dim['study_uid']}']")
    link.wait_for()
    assert lost.locator(f"a[title='{bright['study_uid']}']").count() == 0
    told = " ".join(lost.inner_text().split())
    assert f"{dim['probability']:.4f} {dim['threshold']:.4f}" in told, "as the threshold is written"
    link.click()
    page.page.wait_for_url(re.compile(rf"#/study/default/{re.escape(dim['study_uid'])}/{dim['id']}$"))
    assert api.get(f"/v1/instances/{dim['id']}").json()["outcome"] == "flagged", "a preview decides nothing"


# -- what readers found ---------------------------------------------------------------------------------------------


def test_performance_says_n_too_small_until_readers_have_said_enough(
    open_page: OpenPage, stack: StackProcess, api: httpx.Client
) -> None:
    page = open_page(f"{stack.wait_ready()}/#/performance/default")
    page.wait_for(".performance .gauge")
    assert page.page.locator(".gauge.unknown").count() == 4
    assert "%" not in page.text(".gauges"), "no figure that rests on too little"
    flagged = [submit(api, 0.7, seed) for seed in range(2000, 2031)]
    for record in flagged:
        said = {"verdict": "agree", "truth": "finding", "source": "reader", "blind": False}
        answer = api.post(f"/v1/studies/{record['study_uid']}/assessments", json=said)
        assert answer.status_code in (200, 201), answer.text
    page.page.reload()
    known = page.wait_for(".gauge:not(.unknown)", "PPV")
    ppv = api.get("/v1/performance", params={"site": "default"}).json()["overall"]["ppv"]
    assert f"{100 * ppv['low']:.1f} % to" in known.inner_text()
    assert f"({ppv['n']} readings)" in known.inner_text()
    waiting = api.get("/v1/performance").json()["blind"]["waiting"]
    assert str(waiting) in page.text("#blind-waiting")
    assert "tiny" in page.text(".groups table")


# -- its looks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", ["thresholds", "performance"])
def test_axe_finds_nothing(open_page: OpenPage, stack: StackProcess, view: str, scheme: str) -> None:
    page = open_page(f"{stack.wait_ready()}/#/{view}/default", color_scheme=scheme)
    page.wait_for(".gauge")
    if view == "thresholds":
        choose(page, 0.9)
        page.wait_for(".changed")
        page.page.click("details summary")
    assert axe_violations(page) == []


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_nothing_sticks_out_of_the_screen(
    open_page: OpenPage, stack: StackProcess, api: httpx.Client, width: int, height: int
) -> None:
    submit(api, 0.6, 9)
    page = open_explorer(open_page, stack, viewport={"width": width, "height": height})
    choose(page, 0.9)
    page.wait_for(".changed table")
    page.page.click("details summary")
    assert page.page.evaluate(_STICKING_OUT) == []
    page.go("#/performance")
    page.wait_for(".performance .groups table")
    assert page.page.evaluate(_STICKING_OUT) == []
