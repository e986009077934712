"""The page can be read: enough contrast in both colour schemes, on a narrow screen, by its labels alone."""

from __future__ import annotations

import pytest

from tests.browser.conftest import OpenPage
from tests.browser.watched import WatchedPage
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
_STICKING_OUT = """() => [...document.body.querySelectorAll("*")]
  .filter((element) => !element.closest(".skip") && element.getBoundingClientRect().right > innerWidth)
  .map((element) => `${element.tagName} ${element.className}: ${element.textContent.trim().slice(0, 40)}`)"""
_UNLABELLED = """() => [...document.querySelectorAll("input, select, button")]
  .filter((control) => !(control.labels?.length || control.textContent.trim() || control.ariaLabel))
  .map((control) => control.outerHTML)"""


def show_all(page: WatchedPage) -> None:
    """Have a film with all of its parts on the page, every kind of badge, and every notice."""
    page.choose(png_film(seed=7))
    page.page.check("#stat")
    page.send()
    page.wait_for(".outcome:not(.pending)")
    page.wait_for("img[alt*='heat map']")
    page.wait_for("#worklist tbody tr")
    page.page.evaluate(
        """() => {
          for (const hidden of document.querySelectorAll("[hidden]")) hidden.hidden = false;
          document.getElementById("send-message").textContent = "a message";
          const film = document.getElementById("film");
          for (const kind of ["flagged", "not_flagged", "not_assessed", "pending", "overdue"]) {
            for (const name of ["badge", "outcome"]) {
              const shown = document.createElement("p");
              shown.className = `${name} ${kind}`;
              shown.textContent = `${name} ${kind}`;
              film.append(shown);
            }
          }
        }"""
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_what_is_behind_it(open_page: OpenPage, stack: StackProcess, scheme: str) -> None:
    page = open_page(stack.wait_ready(), color_scheme=scheme)
    show_all(page)
    contrasts = page.page.evaluate(_CONTRASTS)
    assert len(contrasts) > 40
    assert [(text, round(contrast, 2)) for text, contrast in contrasts if contrast < AA] == []


def test_nothing_sticks_out_of_a_narrow_screen(open_page: OpenPage, stack: StackProcess) -> None:
    page = open_page(stack.wait_ready(), viewport={"width": 360, "height": 700})
    show_all(page)
    assert page.page.evaluate(_STICKING_OUT) == []


def test_every_control_has_a_label_and_the_keyboard_reaches_it(page: WatchedPage) -> None:
    assert page.page.evaluate(_UNLABELLED) == []
    reached = []
    for _ in range(8):
        page.page.keyboard.press("Tab")
        reached.append(page.page.evaluate("() => document.activeElement.id || document.activeElement.className"))
    assert reached[:6] == ["skip", "file", "view", "age", "sex", "stat"]
