"""Clients over HTTP that send films as a PACS does: each again and again, until it is accepted."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import httpx
import imagecodecs
import numpy as np

from services.jobs.records import Priority
from tests.support.films import phantom_pixels
from tests.support.gateway import plain_client

# Sooner than Retry-After asks for: a row is about what a refusal leaves behind, not about patience.
_PAUSE_SECONDS: Final = 0.2
_SIDE: Final = 96
_TIMEOUT: Final = httpx.Timeout(30.0)
_ORDERLY: Final = frozenset({429, 503, 507})


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """An answer that is no record."""

    status: int
    code: str
    retry_after: str | None

    @property
    def is_orderly(self) -> bool:
        """Whether it says that waiting helps, and for how long: whole seconds between 1 and 120."""
        seconds = self.retry_after or ""
        return self.status in _ORDERLY and seconds.isdecimal() and 1 <= int(seconds) <= 120


@dataclass(kw_only=True)
class Sent:
    """One film at one client: the record that acknowledged it, if one came, and what came before."""

    payload: bytes
    record: dict[str, Any] | None = None
    refusals: list[Refusal] = field(default_factory=list)
    broken: int = 0  # connections that ended without an answer

    @property
    def film_id(self) -> str:
        """The id that the client was told."""
        assert self.record is not None, self.refusals[-1:]
        return str(self.record["id"])


def numbered_films(count: int, *, start: int = 0) -> list[bytes]:
    """Return small PNG films that are scored and that all differ; cheap enough for thousands."""
    phantom = phantom_pixels(0, rows=_SIDE, columns=_SIDE, bits=8)
    films = []
    for number in range(start, start + count):
        pixels = phantom.copy()
        pixels[-1, :32] = np.array([(number >> bit) & 1 for bit in range(32)], np.uint8) * 40
        films.append(bytes(imagecodecs.png_encode(pixels)))
    return films


def http_client(url: str) -> httpx.Client:
    """Return a client that several threads may share."""
    return plain_client(base_url=url, timeout=_TIMEOUT)


def send_once(client: httpx.Client, payload: bytes, sent: Sent, *, priority: Priority = Priority.ROUTINE) -> bool:
    """Send a film once and note what came of it; return whether it is accepted."""
    try:
        answer = client.post("/v1/instances", content=payload, params={"priority": priority})
    except httpx.TransportError:
        sent.broken += 1
        return False
    if answer.is_success:
        sent.record = answer.json()
        return True
    code = answer.json().get("code", "") if "json" in answer.headers.get("content-type", "") else ""
    sent.refusals.append(Refusal(status=answer.status_code, code=code, retry_after=answer.headers.get("retry-after")))
    return False


def send(client: httpx.Client, payload: bytes, *, seconds: float, priority: Priority = Priority.ROUTINE) -> Sent:
    """Send a film until it is accepted, or until time is up."""
    sent = Sent(payload=payload)
    deadline = time.monotonic() + seconds
    while not send_once(client, payload, sent, priority=priority) and time.monotonic() < deadline:
        time.sleep(_PAUSE_SECONDS)
    return sent


def send_all(
    url: str,
    payloads: Sequence[bytes],
    *,
    clients: int = 4,
    seconds: float = 60.0,
    priority: Priority = Priority.ROUTINE,
) -> list[Sent]:
    """Send every film, several at once, each until it is accepted or its time is up; in order."""
    with http_client(url) as client, ThreadPoolExecutor(clients) as threads:
        return list(threads.map(partial(send, client, seconds=seconds, priority=priority), payloads))


def send_until_refused(url: str, payloads: Iterable[bytes]) -> list[Sent]:
    """Send one film after the other, each once, and stop after the first that is refused or not answered."""
    answers = []
    with http_client(url) as client:
        for payload in payloads:
            sent = Sent(payload=payload)
            answers.append(sent)
            if not send_once(client, payload, sent):
                break
    return answers


def accepted(sent: Iterable[Sent]) -> list[Sent]:
    """Return the films that were acknowledged."""
    return [one for one in sent if one.record is not None]


def disorderly(sent: Iterable[Sent]) -> list[Refusal]:
    """Return the refusals that a PACS could not act upon."""
    return [refusal for one in sent for refusal in one.refusals if not refusal.is_orderly]
