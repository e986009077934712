"""The client behind ``cxr-triage submit``: sends films over HTTP and waits for their outcomes.

Knows the HTTP contract (DESIGN §6) and nothing of the service behind it. Sending is idempotent, so everything that
went wrong on the way is simply sent again: a refusal for lack of room after Retry-After, a lost connection after a
growing pause, both within a bounded patience.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import random
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import httpx
from pydantic import ValidationError

from services.jobs.records import JobState, Priority, Record

DEFAULT_URL: Final = "http://127.0.0.1:8080"
# Enough to keep decoding and scoring busy; far below the queue's depth, so that others find room too.
DEFAULT_IN_FLIGHT: Final = 16
DEFAULT_PATIENCE_SECONDS: Final = 600.0
_WAIT_SECONDS: Final = 20
_TIMEOUT: Final = httpx.Timeout(60.0, connect=5.0)
_FIRST_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 30.0
_LONGEST_RETRY_AFTER_SECONDS: Final = 120.0
_RETRIED: Final = frozenset({408, 425, 429, 500, 502, 503, 504, 507})
_CREDENTIAL_REFUSED: Final = frozenset({401, 403})


class Delivery(StrEnum):
    """What became of one file."""

    DONE = "done"  # it has its outcome
    REFUSED = "refused"  # the service will never take it: a 4xx with its code
    FAILED = "failed"  # not delivered, or its outcome did not come within our patience


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """One file's end. ``code`` is the service's reason to refuse, or ours to give up; ``record`` the last one seen."""

    path: Path
    delivery: Delivery
    record: Record | None = None
    code: str | None = None
    detail: str | None = None


class CredentialRefused(Exception):
    """The service does not accept the key, so it will accept no file."""


class _GiveUp(Exception):
    """The file has no outcome, and will not get one by trying again."""

    def __init__(self, delivery: Delivery, code: str, detail: str, record: Record | None = None) -> None:
        super().__init__(detail)
        self.delivery = delivery
        self.code = code
        self.detail = detail
        self.record = record


def is_service_url(url: str) -> bool:
    """Return whether a service could be reached by this URL: http or https, and a host."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    return parsed.scheme in ("http", "https") and bool(parsed.host)


def files_in(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield files, and the files below folders in the order of their names; hidden ones below folders are skipped."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        for found in sorted(path.rglob("*")):
            is_hidden = any(part.startswith(".") for part in found.relative_to(path).parts)
            if found.is_file() and not is_hidden:
                yield found


@dataclass(frozen=True, kw_only=True)
class SubmitOptions:
    """Where and how to send."""

    url: str = DEFAULT_URL
    key: str | None = None
    priority: Priority = Priority.ROUTINE
    site: str | None = None
    in_flight: int = DEFAULT_IN_FLIGHT
    patience_seconds: float = DEFAULT_PATIENCE_SECONDS


async def submit_files(paths: Iterable[Path], options: SubmitOptions) -> AsyncIterator[Submitted]:
    """Send every file, at most ``in_flight`` at once, and yield each one's end as it comes.

    Raises
    ------
    CredentialRefused
        If the key is not accepted.
    """
    headers = {"Authorization": f"Bearer {options.key}"} if options.key else {}
    limits = httpx.Limits(max_connections=options.in_flight, max_keepalive_connections=options.in_flight)
    async with httpx.AsyncClient(base_url=options.url, headers=headers, timeout=_TIMEOUT, limits=limits) as client:
        waiting, remaining = set[asyncio.Task[Submitted]](), iter(paths)
        try:
            while True:
                while len(waiting) < options.in_flight and (path := next(remaining, None)) is not None:
                    waiting.add(asyncio.create_task(_submit_file(client, path, options)))
                if not waiting:
                    return
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    yield task.result()
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)


async def _submit_file(client: httpx.AsyncClient, path: Path, options: SubmitOptions) -> Submitted:
    try:
        payload = await asyncio.to_thread(path.read_bytes)
    except OSError as error:
        return Submitted(path=path, delivery=Delivery.FAILED, code="unreadable", detail=error.strerror)
    try:
        record = await _Conversation(client, options.patience_seconds).outcome_of(payload, options)
    except _GiveUp as end:
        return Submitted(path=path, delivery=end.delivery, code=end.code, detail=end.detail, record=end.record)
    return Submitted(path=path, delivery=Delivery.DONE, record=record)


class _Conversation:
    """One file's requests, repeated within one patience."""

    def __init__(self, client: httpx.AsyncClient, patience_seconds: float) -> None:
        self._client = client
        self._deadline = asyncio.get_running_loop().time() + patience_seconds
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        self._record: Record | None = None

    async def outcome_of(self, payload: bytes, options: SubmitOptions) -> Record:
        record = await self._record_from(_submit_request(self._client, payload, options))
        while record.state is not JobState.DONE:
            self._record = record
            if self._left_seconds() <= 0:
                raise self._given_up("no_outcome", "accepted, but not done yet; ask again by its id")
            ask = self._client.build_request("GET", record.links.self, params={"wait": _WAIT_SECONDS})
            record = await self._record_from(ask)
        return record

    async def _record_from(self, request: httpx.Request) -> Record:
        while True:
            try:
                response = await self._client.send(request)
            except httpx.TransportError as error:
                await self._pause(None, "unreachable", f"{type(error).__name__} at {request.url.host}")
                continue
            if response.is_success:
                return _parse(response)
            code, detail = _problem(response)
            if response.status_code in _CREDENTIAL_REFUSED:
                raise CredentialRefused(detail)
            if response.status_code not in _RETRIED:
                raise _GiveUp(Delivery.REFUSED, code, detail)
            await self._pause(response.headers.get("retry-after"), code, detail)

    async def _pause(self, retry_after: str | None, code: str, detail: str) -> None:
        """Wait before the same request again, as long as the service says; give up where patience ends before."""
        seconds = self._pause_seconds * random.uniform(0.5, 1.5)
        if retry_after is not None and retry_after.isdecimal():
            seconds = min(float(retry_after), _LONGEST_RETRY_AFTER_SECONDS)
        else:
            self._pause_seconds = min(self._pause_seconds * 2, _LONGEST_PAUSE_SECONDS)
        if seconds > self._left_seconds():
            raise self._given_up(code, detail)
        await asyncio.sleep(seconds)

    def _left_seconds(self) -> float:
        return self._deadline - asyncio.get_running_loop().time()

    def _given_up(self, code: str, detail: str) -> _GiveUp:
        return _GiveUp(Delivery.FAILED, code, detail, self._record)


def _submit_request(client: httpx.AsyncClient, payload: bytes, options: SubmitOptions) -> httpx.Request:
    digest = base64.b64encode(hashlib.sha256(payload).digest()).decode()
    params: dict[str, str | int] = {"priority": options.priority, "wait": _WAIT_SECONDS}
    if options.site is not None:
        params["site"] = options.site
    # The service looks at the bytes itself; a guess from the file's name could only contradict them.
    headers = {"Content-Type": "application/octet-stream", "Content-Digest": f"sha-256=:{digest}:"}
    return client.build_request("POST", "/v1/instances", params=params, headers=headers, content=payload)


def _parse(response: httpx.Response) -> Record:
    try:
        return Record.model_validate_json(response.content)
    except ValidationError as error:
        raise _GiveUp(Delivery.FAILED, "no_record", "the answer is no record; is this URL a triage service?") from error


def _problem(response: httpx.Response) -> tuple[str, str]:
    try:
        document = response.json()
        return str(document["code"]), str(document["detail"])
    except (ValueError, KeyError, TypeError):
        return f"http_{response.status_code}", f"HTTP {response.status_code} {response.reason_phrase}"
