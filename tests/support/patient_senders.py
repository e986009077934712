"""Senders that never give a film up, as a PACS does not: the same bytes again, at any gateway that answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Self

from tests.support.senders import Sent, http_client, send_once
from tests.support.told_apart_films import ToldApartFilm

_PAUSE_SECONDS: Final = 0.2
_STOP_SECONDS: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A film that was accepted: what came before, how long the accepting request took, and all of it together."""

    sent: Sent
    accepting_ms: float
    total_ms: float


class PatientSenders:
    """Threads that send films to gateways, together so many a second, until every film is accepted.

    Each begins at a gateway of its own and turns to the next where it is refused or cut off.
    """

    def __init__(
        self, urls: Sequence[str], films: Sequence[ToldApartFilm], *, senders: int = 4, films_per_second: float = 1e9
    ) -> None:
        self._urls = urls
        self._films = films
        self._pause = senders / films_per_second
        self._given_up = threading.Event()
        self._deliveries: list[Delivery] = []  # list.append is atomic
        self._threads = [
            threading.Thread(target=self._send_every, args=(at, films[at::senders]), daemon=True)
            for at in range(senders)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._given_up.set()
        for thread in self._threads:
            thread.join(_STOP_SECONDS)

    @property
    def is_done(self) -> bool:
        """Whether every film has been accepted."""
        return len(self._deliveries) == len(self._films)

    @property
    def deliveries(self) -> list[Delivery]:
        """What has been accepted so far."""
        return list(self._deliveries)

    def _send_every(self, at: int, films: Sequence[ToldApartFilm]) -> None:
        gateways = _round([self._urls[(at + step) % len(self._urls)] for step in range(len(self._urls))])
        url, started = next(gateways), time.monotonic()
        clients = {each: http_client(each) for each in self._urls}
        for number, film in enumerate(films):
            self._given_up.wait(max(started + number * self._pause - time.monotonic(), 0))
            sent, began = Sent(payload=film.payload), time.monotonic()
            while not self._given_up.is_set():
                asked = time.monotonic()
                if send_once(clients[url], film.payload, sent, priority=film.priority):
                    now = time.monotonic()
                    self._deliveries.append(
                        Delivery(sent=sent, accepting_ms=1000 * (now - asked), total_ms=1000 * (now - began))
                    )
                    break
                url = next(gateways)
                self._given_up.wait(_PAUSE_SECONDS)
        for client in clients.values():
            client.close()


def _round(urls: Sequence[str]) -> Iterator[str]:
    while True:
        yield from urls
