"""The page can be read: enough contrast in both colour schemes, on a narrow screen, by its labels alone."""

from __future__ import annotations

import pytest

from tests.browser.conftest import OpenPage
from tests.browser.watched import LINE, WatchedPage
from tests.support.axe import axe_violations
from tests.support.films import png_film
from tests.support.stack import StackProcess

AA = 4.5  # WCAG 2.2, 1.4.3: contrast of text to what is behind it
# Every visible text with its contrast. A background is the nearest one that is not transparent; all of ours are opaque.
# What is disabled is exempt.
_CONTRASTS = """() => {
  const parse = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b]
    .map((level) => level / 255)
    .map((level) => (level <= 0.04045 ? level / 12.92 : ((level + 0.055) / 1.055) ** 2.4))
    .reduce((sum, level, channel) => sum + level * [0.2126, 0.7152, 0.0722][channel], 0);
  const behind = (element) => {
    for (let at = element; at !== null; at = at.parentElement) {
      const color = parse(getComputedStyle(at).backgroundColor);
      if (color.length === 3 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  const hasText = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  const isSeen = (element) => element.checkVisibility() && !element.closest(":disabled, .skip, option");
  return [...document.body.querySelectorAll("*")].filter(hasText).filter(isSeen).map((element) => {
    const [text, ground] = [parse(getComputedStyle(element).color), behind(element)].map(light).sort((a, b) => b - a);
    return [element.textContent.trim().slice(0, 40), (text + 0.05) / (ground + 0.05)];
  });
}"""
# What lies in an element that scrolls or cuts off by itself does not make the page wider.
_STICKING_OUT = """() => [...document.body.querySelectorAll("*")]
  .filter((element) => element.checkVisibility() && element.getBoundingClientRect().right > innerWidth + 0.5)
  .filter((element) => {
    for (let at = element.parentElement; at !== document.body; at = at.parentElement) {
      if (getComputedStyle(at).overflowX !== "visible" || at.matches(".skip")) return false;
    }
    return true;
  })
  .map((element) => `${element.tagName} ${element.className}: ${element.textContent.trim().slice(0, 40)}`)"""
_UNLABELLED = """() => [...document.querySelectorAll("input, select, button")]
  .filter((control) => !(control.labels?.length || control.textContent.trim() || control.ariaLabel))
  .map((control) => control.outerHTML)"""


# What is there once a view has its data. This bundle has no operating table: test_page_threshold looks at one that has.
FILLED = {
    "#/": LINE,
    "#/send": "#send",
    "#/thresholds/default": ".thresholds .notice",
    "#/performance/default": ".gauge",
}
VIEWS = (*FILLED, "#/study")


def show(page: WatchedPage, view: str) -> None:
    """Have a view on the page, and every notice that the frame may show."""
    if view == "#/study":
        page.choose(png_film(seed=7))
        page.page.check("#stat")
        page.send()
        page.wait_for(".outcome:not(.pending)")
        page.page.wait_for_selector(".heat-offered button:enabled")
    else:
        page.go(view)
        page.wait_for(FILLED[view])
    page.page.evaluate(
        """() => {
          for (const id of ["stale", "unserved", "key", "session"]) document.getElementById(id).hidden = false;
          document.getElementById("stale").textContent = "out of date";
        }"""
    )


def show_every_badge(page: WatchedPage) -> None:
    page.page.evaluate(
        """() => {
          for (const kind of ["flagged", "not_flagged", "not_assessed", "pending", "overdue", "stat", "blind"]) {
            const shown = document.createElement("p");
            shown.className = `badge ${kind}`;
            shown.textContent = `badge ${kind}`;
            document.querySelector(".filters").append(shown);
          }
        }"""
    )


@pytest.fixture(scope="module", autouse=True)
def film(stack: StackProcess) -> None:
    """One study at least in the worklist."""
    with stack.client() as client:
        headers = {"Content-Type": "image/png"}
        assert client.post("/v1/instances?wait=30", content=png_film(seed=8), headers=headers).status_code == 200


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_no_violation(open_page: OpenPage, stack: StackProcess, view: str, scheme: str) -> None:
    page = open_page(stack.wait_ready(), color_scheme=scheme)
    show(page, view)
    assert axe_violations(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_what_is_behind_it(open_page: OpenPage, stack: StackProcess, scheme: str) -> None:
    page = open_page(stack.wait_ready(), color_scheme=scheme)
    show(page, "#/")
    show_every_badge(page)
    contrasts = page.page.evaluate(_CONTRASTS)
    assert len(contrasts) > 30
    assert [(text, round(contrast, 2)) for text, contrast in contrasts if contrast < AA] == []


@pytest.mark.parametrize("view", VIEWS)
def test_nothing_sticks_out_of_a_narrow_screen(open_page: OpenPage, stack: StackProcess, view: str) -> None:
    page = open_page(stack.wait_ready(), viewport={"width": 360, "height": 700})
    show(page, view)
    assert page.page.evaluate(_STICKING_OUT) == []


@pytest.mark.parametrize("view", VIEWS)
def test_every_control_has_a_label(page: WatchedPage, view: str) -> None:
    show(page, view)
    assert page.page.evaluate(_UNLABELLED) == []


def test_keyboard_reaches_every_control_in_the_order_of_the_page(page: WatchedPage) -> None:
    page.go("#/send")
    page.wait_for("#send")
    page.page.reload()
    page.wait_for("#send")
    reached = []
    for _ in range(14):
        page.page.keyboard.press("Tab")
        reached.append(page.page.evaluate("() => document.activeElement.id || document.activeElement.className"))
    order = ["skip", "theme", "help-open", "file", "view", "age", "sex", "stat"]
    assert [name for name in reached if name in order] == order


def test_page_is_small(page: WatchedPage) -> None:
    sizes = page.page.evaluate(
        """async () => {
          for (const view of ["study", "sending", "explorer", "performance"]) await import(`/web/${view}.js`);
          const entries = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
          return entries.filter(({ name }) => !name.includes("/v1/")).map((entry) => entry.transferSize);
        }"""
    )
    assert len(sizes) > 20
    assert sum(sizes) <= 200 * 1024
