"""A page under watch: its console stays silent, and it talks to nobody but its own service."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self
from urllib.parse import urlsplit

from tests.support.finding_bundles import FINDINGS
from tests.support.gateway import wait_until

WAIT_MS = 60_000  # a service may start again meanwhile
# A study's row; the rows of the groups' names have none.
LINE = "#worklist .line[data-study]"
# Chromium draws the list below its address bar as pages of its own: two more in each new window, which cost as much
# as ours. The others are playwright's, which are lost where a list is given: what might change how a page is shown.
_NO_OWN_PAGES = (
    "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup,PreloadTopChromeWebUI,SpareRendererForSitePerProcess,"
    "HttpsUpgrades,MediaRouter,OptimizationHints,PaintHolding,Translate"
)
# Chromium's own words for an answer of 4xx or 5xx; a test says which it has provoked.
_REFUSED = re.compile(r"Failed to load resource: the server responded with a status of (\d+)")
_NO_ANSWER = re.compile(r"Failed to load resource: net::ERR_(CONNECTION|EMPTY|SOCKET|INCOMPLETE)")
# Sends a film as a drop does, which no driver can do with a real file manager.
_DROP = """([selector, name, content]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([Uint8Array.from(atob(content), (byte) => byte.charCodeAt(0))], name));
  const drop = new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true });
  document.querySelector(selector).dispatchEvent(drop);
}"""


@contextmanager
def open_browser(executable: str) -> Iterator[Any]:
    """Start chromium without a window. Imported here, so that a machine without playwright can skip."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # A container's root has no sandbox to offer; what is opened is our own page.
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", _NO_OWN_PAGES])
        yield browser
        browser.close()


class WatchedPage:
    """One page in a browser of its own; ``expected`` are the refusals that the test provokes."""

    def __init__(self, browser: Any, url: str, *, expected: tuple[str, ...] = (), **context: Any) -> None:
        self.url = url
        self._expected = expected
        self._troubles: list[str] = []
        self._context = browser.new_context(locale="en-GB", **context)
        self._context.set_default_timeout(WAIT_MS)
        self.page = self._context.new_page()
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self._troubles.append(f"error: {error}"))
        self.page.on("request", self._see)
        self.page.goto(url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # An answer that is being changed on its way has nobody to go to any more.
        self.page.unroute_all(behavior="ignoreErrors")
        self._context.close()
        if kind is None:
            assert not self._troubles, self._troubles

    def _hear(self, message: Any) -> None:
        refused, silent = _REFUSED.match(message.text), _NO_ANSWER.match(message.text)
        if (refused and refused[1] in self._expected) or (silent and "silence" in self._expected):
            return
        if message.type in ("error", "warning"):
            self._troubles.append(f"{message.type}: {message.text}")

    def _see(self, request: Any) -> None:
        if urlsplit(request.url).scheme != "blob" and urlsplit(request.url).netloc != urlsplit(self.url).netloc:
            self._troubles.append(f"asked another host: {request.url}")

    # -- what a reader does ----------------------------------------------------------------------------------------

    def go(self, address: str) -> None:
        """Go to a view by its address, such as ``#/send``, unless it is the one that is shown."""
        if urlsplit(self.page.url).fragment != address.removeprefix("#"):
            self.page.evaluate("(address) => { window.location.hash = address; }", address)

    def choose(self, film: bytes, name: str = "film") -> None:
        """Choose a film in the file chooser, and wait until the page knows what it is."""
        self.go("#/send")
        self.page.set_input_files("#file", {"name": name, "mimeType": "", "buffer": film})
        self.page.wait_for_selector("#submit:enabled")

    def drop(self, film: str, selector: str = "#drop") -> None:
        """Drop a film, in base64, on an element of the form."""
        self.go("#/send")
        self.page.wait_for_selector(selector)
        self.page.evaluate(_DROP, [selector, "film", film])
        self.page.wait_for_selector("#submit:enabled")

    def send(self) -> None:
        self.page.click("#submit")

    def answer_otherwise(self, urls: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Have every JSON answer of these addresses changed on its way to the page."""

        def changed(route: Any) -> None:
            response = route.fetch()
            body = response.json()
            change(body)
            route.fulfill(response=response, body=json.dumps(body))

        self.page.route(urls, changed)

    def look_again(self) -> None:
        """Have the worklist asked for at once, as on coming back to the page, and wait for an answer."""
        with self.page.expect_response("**/v1/studies?*"):
            self.page.evaluate("() => document.dispatchEvent(new Event('visibilitychange'))")

    def look_until(self, selector: str, text: str = "") -> None:
        """Have the worklist asked for until this is seen, which the page would do by itself every few seconds."""
        found = self.page.locator(selector).filter(has_text=text).first

        def is_seen() -> bool:
            self.look_again()
            return bool(found.is_visible())

        wait_until(is_seen, what=f"{selector} {text}")

    def wait_for(self, selector: str, text: str = "") -> Any:
        """Return the first element that appears there, with this text in it."""
        found = self.page.locator(selector).filter(has_text=text).first
        found.wait_for(timeout=WAIT_MS)
        return found

    # -- what a reader sees ----------------------------------------------------------------------------------------

    def text(self, selector: str) -> str:
        return " ".join(self.page.locator(selector).inner_text().split())

    def findings(self) -> list[tuple[str, str]]:
        """Return the bars' labels and percentages, from top to bottom."""
        rows = self.page.locator(".findings tbody tr").all()
        return [(row.locator("th").inner_text(), row.locator(".number").inner_text()) for row in rows]

    def bar_widths(self) -> list[float]:
        """Return how much of its track each bar fills, from top to bottom."""
        measure = "bars => bars.map(bar => bar.getBoundingClientRect().width / bar.parentElement.clientWidth)"
        widths: list[float] = self.page.eval_on_selector_all(".findings .fill", measure)
        assert len(widths) == len(FINDINGS)
        return widths

    def film_id(self) -> str:
        return str(self.page.locator(".facts dd").last.inner_text())
