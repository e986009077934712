"""The tool that looks for faults finds them, under the page's own security policy."""

from __future__ import annotations

import pytest

from tests.browser.watched import WatchedPage
from tests.support.axe import axe_violations

# What nobody could read, and what nobody could name.
_SPOIL = """() => {
  const unread = document.createElement("p");
  unread.textContent = "a probability";
  unread.style.setProperty("color", "rgb(119, 119, 119)");
  unread.style.setProperty("background-color", "rgb(136, 136, 136)");
  document.querySelector("main").append(unread, document.createElement("input"));
}"""


def test_faults_are_found_and_named_by_where_they_are(page: WatchedPage) -> None:
    page.page.evaluate(_SPOIL)
    found = axe_violations(page, within="main")
    assert [line for line in found if line.startswith("color-contrast (serious) at ") and "a probability" in line]
    assert [line for line in found if line.startswith("label (critical) at ") and line.endswith("<input>")]


def test_where_nothing_is_looked_at_nothing_is_called_faultless(page: WatchedPage) -> None:
    with pytest.raises(AssertionError, match="nothing on the page is"):
        axe_violations(page, within="#nowhere")
