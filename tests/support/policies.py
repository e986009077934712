"""Bundles whose reports say what each threshold does, and films that are decided by one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np

from tests.support.bundles import write_tiny_bundle
from tests.support.films import png_film
from tests.support.gateway import wait_until

JSON: Final = {"Content-Type": "application/json"}
# Twenty films of each kind: every one scores another tenth of a tenth, unhealthy ones higher.
HEALTHY: Final = tuple(0.105 + 0.02 * step for step in range(20))
UNHEALTHY: Final = tuple(0.295 + 0.02 * step for step in range(20))


def report_of(healthy: tuple[float, ...] = HEALTHY, unhealthy: tuple[float, ...] = UNHEALTHY) -> bytes:
    """Return a report as ``cxr-train`` writes it, as far as a table is made of it."""
    films = len(healthy) + len(unhealthy)
    thresholds = [0.0, *sorted({*healthy, *unhealthy})]
    missed = [sum(score < threshold for score in unhealthy) for threshold in thresholds]
    cleared = [sum(score < threshold for score in (*healthy, *unhealthy)) for threshold in thresholds]
    return json.dumps(
        {
            "test": {"films": films, "patients": films, "unhealthy": len(unhealthy)},
            "curves": {
                "decision_cost": {
                    "threshold": thresholds,
                    "cleared_per_1000": [1000 * count / films for count in cleared],
                    "missed_per_1000": [1000 * count / films for count in missed],
                }
            },
        }
    ).encode()


def write_reported_bundle(directory: Path, **facts: Any) -> Path:
    """Write a tiny bundle with a report; its probability is the film's brightness."""
    return write_tiny_bundle(directory, more_files={"report.json": report_of()}, **facts)


def bright_film(brightness: float, *, seed: int = 0) -> bytes:
    """Return a film whose mean is about ``brightness`` of white, that no gate refuses; ``seed`` tells films apart."""
    rows, columns = np.mgrid[-1:1:256j, -1:1:256j]
    body = np.cos(np.pi * rows / 2) * np.cos(np.pi * columns / 2)  # darker at its edges, or it looks inverted
    film = 255 * brightness * (1 + (body - body.mean()) / 2)
    film += np.random.default_rng(seed).normal(0.0, 3.0, film.shape)
    return png_film(np.clip(film, 1, 254).astype(np.uint8))


def decided(client: httpx.Client, film: bytes, **parameters: str) -> dict[str, Any]:
    """Send a film and return its record, decided."""
    answer = client.post(
        "/v1/instances", content=film, headers={"Content-Type": "image/png"}, params={"wait": 30, **parameters}
    )
    assert answer.is_success, answer.text
    records: list[dict[str, Any]] = [answer.json()]

    def is_done() -> bool:
        if records[-1]["state"] != "done":
            records.append(client.get(f"/v1/instances/{records[-1]['id']}").raise_for_status().json())
        return bool(records[-1]["state"] == "done")

    wait_until(is_done, what="a film's outcome")
    return records[-1]


def choose(
    client: httpx.Client, site: str, digest: str, threshold: float, *, seen: int, **facts: object
) -> httpx.Response:
    """Ask for a policy, as an admin who has seen a version."""
    body = {"model_digest": digest, "threshold": threshold, **facts}
    headers = JSON | {"If-Match": f'"{seen}"'}
    return client.put(f"/v1/policies/{site}", content=json.dumps(body), headers=headers)
