"""What is asked at a gateway's door, and what its audit trail keeps of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from services.api.access.sessions import COOKIE
from tests.support.access import bearer
from tests.support.films import png_film
from tests.support.gateway import GatewayProcess, wait_until
from tests.support.ledger import entries_in
from tests.support.redis_server import RedisServer

PNG = {"Content-Type": "image/png"}


@contextmanager
def guarded_gateway(server: RedisServer, keys_file: Path, **settings: object) -> Iterator[GatewayProcess]:
    """Run a gateway beside its keys, those that it knows from its start; none of its requests may fail unforeseen."""
    places: dict[str, Any] = {"redis_url": server.url, "api_keys_file": keys_file}
    with GatewayProcess(keys_file.parent, **(places | settings)) as running:
        running.wait_ready()
        yield running
        assert "request failed" not in running.output


def code_of(answer: httpx.Response, status: int) -> str:
    """Return the code of a problem of this status, which says when to come again where that is what it means."""
    assert answer.status_code == status, answer.text
    if status == 429:
        assert 1 <= int(answer.headers["retry-after"]) <= 120
    return str(answer.json()["code"])


def sign_in(gateway: GatewayProcess, client: httpx.Client, key: str) -> httpx.Response:
    return client.post("/v1/session", json={"key": key}, headers={"Origin": gateway.url})


def cookie_of(answer: httpx.Response) -> dict[str, str]:
    """Return the header by which a browser stays signed in. Ours sends it itself, because httpx wants HTTPS for it."""
    return {"Cookie": f"{COOKIE}={answer.cookies[COOKIE]}"}


def knows(client: httpx.Client, key: str) -> bool:
    """Return whether the gateway knows a key yet that was made after its start."""
    return client.get("/v1/session", headers=bearer(key)).status_code == 200


def metrics(client: httpx.Client, key: str) -> str:
    return client.get("/metrics", headers=bearer(key)).text


def send(client: httpx.Client, key: str, seed: int, **params: str) -> httpx.Response:
    return client.post("/v1/instances", content=png_film(seed=seed), params=params, headers=PNG | bearer(key))


def noted(directory: Path, event: str, **facts: object) -> list[dict[str, Any]]:
    """Return what the trail says of an event as soon as it says anything; its thread writes a moment later."""

    def found() -> list[dict[str, Any]]:
        return [entry for entry in entries_in(directory) if entry.items() >= ({"event": event} | facts).items()]

    wait_until(lambda: bool(found()), what=f"{event} in the trail")
    return found()
