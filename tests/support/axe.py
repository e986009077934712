"""axe-core on a page: what a machine can find of what keeps people from using it.

Its script comes in by the browser's debugging protocol, which no content security policy keeps out: a page is looked
at as readers have it, under its own policy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any, Final

from tests.browser.watched import WatchedPage
from tests.support.tools import lacking

# WCAG 2.0 to 2.2, levels A and AA; and what axe-core's authors recommend beyond it (landmarks, headings, regions).
TAGS: Final = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
_SHOWN_OF_ELEMENT: Final = 160


def axe_violations(page: WatchedPage, *, within: str | None = None, tags: tuple[str, ...] = TAGS) -> list[str]:
    """Return a line for each element that breaks a rule; none where axe-core finds nothing.

    Parameters
    ----------
    within
        A CSS selector: only what is inside of it is looked at. It has to match, or the run would find nothing in
        nothing.

    Notes
    -----
    What axe-core is not sure of (``incomplete``; the contrast of text above a picture, for example) is no violation.
    """
    if find_spec("axe_playwright_python") is None:
        lacking("axe-playwright-python not installed")
    from axe_playwright_python.sync_playwright import Axe

    if within is not None:
        assert page.page.locator(within).count() > 0, f"nothing on the page is {within}"
    options = {"resultTypes": ["violations"], "runOnly": {"type": "tag", "values": list(tags)}}
    found: Mapping[str, Any] = Axe().run(page.page, context=within, options=options).response
    # Rules that passed are there too: a run that looked at nothing must not read as a page without faults.
    assert found["passes"], "axe-core looked at nothing"
    return [line for violation in found["violations"] for line in _lines(violation)]


def _lines(violation: Mapping[str, Any]) -> Iterator[str]:
    for node in violation["nodes"]:
        place = " ".join(map(str, node["target"]))
        element = " ".join(node["html"].split())[:_SHOWN_OF_ELEMENT]
        failed = [check["message"] for kind in ("any", "all", "none") for check in node[kind]]
        yield f"{violation['id']} ({violation['impact']}) at {place}: {'; '.join(failed)} | {element}"
