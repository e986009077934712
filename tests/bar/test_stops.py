"""R13: whoever is told to stop does so soon, and neither a film nor an attempt is lost by it.

Shown to fail (by hand): a worker whose last batch keeps it alive (R13b, as found), a release script that does not take
its attempt back, a worker that does not release at all (R13b: attempts burned), a gateway that cuts its open uploads
off, and one that takes half a film for a whole one when its sender falls silent (R13c).
"""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import pytest

from services.jobs import keys
from tests.bar.conftest import MeasureRow
from tests.bar.kill_loop import wrong_ends
from tests.support.gateway import GatewayProcess, wait_until
from tests.support.invariant import mark_safe
from tests.support.kill_rig import IMPATIENT
from tests.support.parts import Parts, wait_quiet
from tests.support.senders import accepted, http_client, send_all
from tests.support.told_apart_films import ToldApartFilm, told_apart_films

FILMS: Final = 1500
DEPTH: Final = 2000
# RELIABILITY §2 says every 1.7 s, of a prototype that scored 80 films a second: as many films, on any machine.
ROUND_FILMS: Final = 136
WORKER_STOPS_WITHIN_SECONDS: Final = 10.0
FEWEST_ROUNDS: Final = 5
MOST_ROUNDS: Final = 20
HELD_FILMS: Final = 20
UPLOADS: Final = 12
SILENT_UPLOADS: Final = 4
GATEWAY_STOPS_WITHIN_SECONDS: Final = 30.0
WAIT_SECONDS: Final = 60.0
ANSWER_SECONDS: Final = 40.0


@pytest.mark.row
def test_a_worker_that_is_stopped_again_and_again_burns_no_attempt(parts: Parts, measure_row: MeasureRow) -> None:
    films = told_apart_films(FILMS, parts.bundle)
    with (
        measure_row("R13a", "SIGTERM to the only worker, again and again") as row,
        parts.gateway(api_routine_depth=DEPTH) as gateway,
    ):
        sent = send_all(gateway.url, [film.payload for film in films], seconds=WAIT_SECONDS)
        row.mark("accepted", len(accepted(sent)), exactly=FILMS)
        stops = _stop_until_done(parts)
        row.note("scaled", f"a stop every {ROUND_FILMS} films instead of every 1.7 s")
        row.mark("stops", len(stops), at_least=FEWEST_ROUNDS)
        row.mark(
            "longest_stop_seconds", round(max(seconds for seconds, _ in stops), 2), at_most=WORKER_STOPS_WITHIN_SECONDS
        )
        row.mark("exits_other_than_0", sum(status != 0 for _, status in stops), exactly=0)
        row.mark("attempts_burned", _attempts_burned(parts, films), exactly=0)
        with parts.server.client() as client:
            row.mark("other_than_undisturbed", len(wrong_ends(client, films)), exactly=0)
            mark_safe(row, client, [film.film_id for film in films])


@pytest.mark.row
def test_a_worker_that_is_stopped_in_a_batch_without_end_gives_its_films_back(
    parts: Parts, measure_row: MeasureRow
) -> None:
    """What is under way may finish for a few seconds; what does not is released, and the process ends all the same."""
    films = told_apart_films(HELD_FILMS, parts.bundle)
    directions = parts.directions()
    with (
        measure_row("R13b", "SIGTERM to a worker whose inference does not return") as row,
        parts.gateway() as gateway,
        parts.server.client() as client,
    ):
        with parts.worker(name="held", directed_by=directions, **IMPATIENT) as held:
            directions.hold()
            sent = send_all(gateway.url, [film.payload for film in films], seconds=WAIT_SECONDS)
            row.mark("accepted", len(accepted(sent)), exactly=HELD_FILMS)
            wait_until(lambda: bool(directions.attempts()), what="a batch", seconds=WAIT_SECONDS)
            began = time.monotonic()
            status = held.terminate()
            row.mark("stop_seconds", round(time.monotonic() - began, 2), at_most=WORKER_STOPS_WITHIN_SECONDS)
            row.mark("exit_status", status, exactly=0)
        with parts.worker(name="successor", **IMPATIENT):
            wait_quiet(parts.server, seconds=WAIT_SECONDS)
        row.mark("attempts_burned", _attempts_burned(parts, films), exactly=0)
        row.mark("other_than_undisturbed", len(wrong_ends(client, films)), exactly=0)
        mark_safe(row, client, [film.film_id for film in films])


@pytest.mark.row
def test_a_gateway_that_is_stopped_answers_its_open_uploads(parts: Parts, measure_row: MeasureRow) -> None:
    """Of the uploads under way most go on, some fall silent; each gets an answer, and what is accepted is kept."""
    films = told_apart_films(UPLOADS, parts.bundle)
    with measure_row("R13c", "SIGTERM to a gateway with open uploads") as row:
        with parts.gateway() as gateway:
            uploads = [_Upload(gateway, film) for film in films]
            for upload in uploads:
                upload.begin()
            _wait_in_flight(gateway, UPLOADS)
            gateway.process.send_signal(signal.SIGTERM)
            stopped = time.monotonic()
            # What ends before the gateway has begun to stop would be answered by any gateway.
            wait_until(lambda: not _is_listening(gateway), what="a gateway that stops", seconds=WAIT_SECONDS)
            threads = [threading.Thread(target=upload.end) for upload in uploads[SILENT_UPLOADS:]]
            threads += [threading.Thread(target=upload.read_answer) for upload in uploads[:SILENT_UPLOADS]]
            for thread in threads:
                thread.start()
            status = gateway.process.wait(2 * GATEWAY_STOPS_WITHIN_SECONDS)
            row.mark("stop_seconds", round(time.monotonic() - stopped, 2), at_most=GATEWAY_STOPS_WITHIN_SECONDS)
            row.mark("exit_status", status, exactly=0)
            for thread in threads:
                thread.join(ANSWER_SECONDS)
        finished, silent = uploads[SILENT_UPLOADS:], uploads[:SILENT_UPLOADS]
        row.note("accepted", sum(upload.status == 202 for upload in finished))
        row.mark("finished_uploads_neither_202_nor_503", sum(u.status not in (202, 503) for u in finished), exactly=0)
        row.mark("silent_uploads_accepted", sum(upload.status in (200, 202) for upload in silent), exactly=0)
        row.mark("silent_uploads_neither_408_nor_503", sum(u.status not in (408, 503) for u in silent), exactly=0)
        row.note("silent_uploads_answered", " ".join(str(upload.status) for upload in silent))
        kept = [upload.film for upload in finished if upload.status == 202]
        with parts.gateway() as gateway, parts.worker(**IMPATIENT), parts.server.client() as client:
            wait_quiet(parts.server, seconds=WAIT_SECONDS)
            row.mark("other_than_undisturbed", len(wrong_ends(client, kept)), exactly=0)
            with http_client(gateway.url) as http:
                mark_safe(row, client, [film.film_id for film in kept], http=http)


class _Upload:
    """A client that sends half a film, and the rest when it is told to. ``status`` 0: no answer."""

    def __init__(self, gateway: GatewayProcess, film: ToldApartFilm) -> None:
        self.film = film
        self.status = 0
        self._half = len(film.payload) // 2
        self._socket = socket.create_connection(("127.0.0.1", gateway.port), timeout=ANSWER_SECONDS)

    def begin(self) -> None:
        head = (
            "POST /v1/instances HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\n"
            f"Content-Length: {len(self.film.payload)}\r\n\r\n"
        )
        self._socket.sendall(head.encode() + self.film.payload[: self._half])

    def end(self) -> None:
        with suppress(OSError):  # cut off; an answer may still be there to read
            self._socket.sendall(self.film.payload[self._half :])
        self.read_answer()

    def read_answer(self) -> None:
        try:
            line = self._socket.recv(2**16).split(b"\r\n", 1)[0]
        except OSError:
            line = b""
        self.status = int(line.split()[1]) if line else 0
        self._socket.close()


def _is_listening(gateway: GatewayProcess) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", gateway.port), timeout=ANSWER_SECONDS):
        return True
    return False


def _stop_until_done(parts: Parts) -> list[tuple[float, int]]:
    """Start the only worker, stop it once it has ended some films, and again until none is open; return each stop's
    seconds and exit status."""
    stops: list[tuple[float, int]] = []
    with parts.server.client() as client:
        while (left := client.zcard(keys.OPEN)) and len(stops) < MOST_ROUNDS:
            with parts.worker(**IMPATIENT) as worker:
                wait_until(
                    lambda left=left: client.zcard(keys.OPEN) <= max(0, left - ROUND_FILMS),
                    what="films to be ended",
                    seconds=WAIT_SECONDS,
                )
                began = time.monotonic()
                status = worker.terminate()
                stops.append((time.monotonic() - began, status))
    return stops


def _attempts_burned(parts: Parts, films: Sequence[ToldApartFilm]) -> int:
    """Count what stops cost the films: attempts beyond the first, crashes, retries."""
    with parts.server.client() as client:
        pipe = client.pipeline(transaction=False)
        for film in films:
            pipe.hmget(keys.instance(film.film_id), "attempts", "crashes", "tries")
        return sum(int(attempts) - 1 + int(crashes) + int(tries) for attempts, crashes, tries in pipe.execute())


def _wait_in_flight(gateway: GatewayProcess, uploads: int) -> None:
    """Wait until the gateway holds so many unfinished uploads; small ones are not in its spool yet."""
    line = f"cxr_uploads_in_flight {float(uploads)}"
    with gateway.client() as client:
        wait_until(lambda: line in client.get("/metrics").text.splitlines(), what="uploads under way")
