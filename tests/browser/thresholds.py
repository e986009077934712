"""The threshold explorer in a reader's hands, and the stack that it is tried on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np

from tests.browser.conftest import OpenPage
from tests.browser.watched import WatchedPage
from tests.support.bundles import write_tiny_bundle
from tests.support.films import phantom_pixels, png_film
from tests.support.stack import StackProcess

# The shipped network's test films behind a network that answers a film's brightness, so that tests choose the scores.
REPORT: Final = Path("model/bundles/nih-triage-128/report.json")
OWN_THRESHOLD: Final = 0.3
SITE: Final = "/v1/policies/default"


def write_bundle(directory: Path) -> Path:
    report = {"report.json": REPORT.read_bytes()}
    return write_tiny_bundle(directory, threshold=OWN_THRESHOLD, more_files=report)


def submit(api: httpx.Client, brightness: float, seed: int) -> dict[str, Any]:
    """Send a film of about this brightness, which is its probability; return its record."""
    pixels = phantom_pixels(seed, bits=8).astype(float)
    film = png_film(np.clip(pixels * (brightness * 255 / pixels.mean()), 0, 255).astype(np.uint8))
    answer = api.post("/v1/instances", params={"wait": 30}, content=film, headers={"Content-Type": "image/png"})
    assert answer.status_code == 200, answer.text
    record: dict[str, Any] = answer.json()
    assert record["probability"] is not None, record
    return record


def open_explorer(open_page: OpenPage, stack: StackProcess, **options: Any) -> WatchedPage:
    page = open_page(f"{stack.wait_ready()}/#/thresholds/default", **options)
    page.wait_for("#gauges .gauge")
    return page


def choose(page: WatchedPage, threshold: float) -> None:
    page.page.fill("#threshold", str(threshold))


def gauge(page: WatchedPage, name: str) -> str:
    named = page.page.locator("dt").filter(has_text=re.compile(f"^{name}"))
    found = page.page.locator("#gauges .gauge").filter(has=named)
    return " ".join(found.inner_text().split())


def save(page: WatchedPage) -> int:
    """Save what is chosen; return the version that the page then says is in force."""
    version = int(page.text(".saving button[type=submit]").removeprefix("Save as version "))
    page.page.click(".saving button[type=submit]")
    page.wait_for("#in-force", f"version {version},")
    return version


def put(api: httpx.Client, threshold: float, name: str = "elsewhere") -> httpx.Response:
    """Save a policy as another person does."""
    known = api.get(SITE)
    digest = known.json()["default"]["digest"]
    body = {"model_digest": digest, "threshold": threshold, "name": name}
    answer = api.put(SITE, json=body, headers={"If-Match": known.headers["ETag"]})
    assert answer.status_code == 200, answer.text
    return answer


def sign_in(page: WatchedPage, key: str) -> None:
    page.page.fill("#key-value", key)
    page.page.click("#key button")


@contextmanager
def running_stack(directory: Path) -> Iterator[StackProcess]:
    """A stack whose probabilities the tests choose, and which must end well."""
    with StackProcess(directory, bundle=write_bundle(directory / "bundle")) as running:
        running.wait_ready()
        yield running
        assert running.stop() == 0, running.output[-3000:]
