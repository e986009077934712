"""The arithmetic of the page's figures, and the crowd that polls; what a browser and a gateway need is measured."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlsplit

import pytest

from benchmarks.page import polling_path, polling_rows, scroll_rows, start_rows
from benchmarks.page_browser import Scrolled, Start, parted
from benchmarks.page_polling import Polled, expected_unchanged
from benchmarks.pollers import Answers, Client, Polling
from services.api.routes.studies import StudiesQuery


def crowd(change_seconds: float | None, **answers: int) -> Polled:
    return Polled(
        clients=1_000,
        seconds=50.0,
        change_seconds=change_seconds,
        answers={status.removeprefix("status_"): count for status, count in answers.items()},
        connections=0,
        p99_ms=12.0,
        gateway=0.08,
        idle=0.01,
        redis=0.005,
    )


def test_cost_of_a_poll_and_share_of_304_follow_from_what_was_counted() -> None:
    found = crowd(None, status_200=100, status_304=9_900)
    assert found.polls == 10_000
    assert found.unchanged_share == pytest.approx(0.99)
    assert found.ms_per_poll == pytest.approx(0.4)  # 8 % of a core for 50 s


@pytest.mark.parametrize(
    ("change_seconds", "share"), [(None, 1.0), (60.0, 11 / 12), (10.0, 0.5), (5.0, 0.0), (1.0, 0.0)]
)
def test_share_of_304_is_bounded_by_how_often_the_worklist_changes(change_seconds: float | None, share: float) -> None:
    assert expected_unchanged(5.0, change_seconds) == pytest.approx(share)


def test_goals_are_held_only_against_what_can_be_reached() -> None:
    found = [
        crowd(None, status_304=10_000),
        crowd(60.0, status_200=800, status_304=9_200),
        crowd(10.0, status_200=5_000, status_304=5_000),
    ]
    goals = {
        row.row.partition(": ")[0].rpartition(", ")[2] + ": " + row.row.rpartition(": ")[2]: row
        for row in polling_rows(found)
    }
    held = {name: (row.goal, row.met) for name, row in goals.items()}
    assert held == {
        "worklist unchanged: gateway": (10.0, True),
        "worklist unchanged: answered 304": (90.0, True),
        "a film every 60 s: gateway": (None, None),
        "a film every 60 s: answered 304": (90.0, True),
        "a film every 10 s: gateway": (None, None),
        "a film every 10 s: answered 304": (None, None),
    }
    assert "at most 50 %" in goals["a film every 10 s: answered 304"].note


def test_long_tasks_and_row_nodes_are_held_against_their_goals() -> None:
    calm = Scrolled(seconds=10.0, most_rows=90, long_tasks_ms=(), frames=600, stolen_seconds=0.0)
    busy = Scrolled(seconds=10.0, most_rows=301, long_tasks_ms=(55.0, 80.0), frames=300, stolen_seconds=2.5)
    rows = scroll_rows([calm, busy])
    assert [(row.measured, row.met) for row in rows] == [(90, True), (50.0, True), (301, False), (80.0, False)]
    assert ["none over" in rows[1].note, "2 tasks over" in rows[3].note] == [True, True]
    assert "took 2.5 s" in rows[3].note


def test_first_paint_is_the_middle_of_all_starts_and_bytes_are_of_all_files() -> None:
    starts = [
        Start(first_paint_ms=paint, rows_ms=2 * paint, files={"/": 2_000}, later={"/web/study.js": 3_000}, data_bytes=9)
        for paint in (1_500.0, 200.0, 300.0)
    ]
    rows = {row.row: row for row in start_rows(starts)}
    assert (rows["first paint, cold"].measured, rows["first paint, cold"].met) == (300.0, True)
    assert "200 to 1500" in rows["first paint, cold"].note
    assert rows["files of the worklist, on the wire"].measured == 2.0
    assert rows["files of the page in all, on the wire"].measured == 5.0


def test_data_are_told_apart_from_the_page() -> None:
    files, data = parted({"/": 1, "/web/app.js": 2, "/v1/studies": 3, "/v1/session": 4})
    assert (sum(files.values()), sum(data.values())) == (3, 7)


def test_page_asks_for_the_last_day_to_the_hour() -> None:
    path = polling_path(datetime(2026, 3, 1, 14, 35, 12, tzinfo=UTC))
    asked = StudiesQuery.model_validate(dict(parse_qsl(urlsplit(path).query)))
    assert asked == StudiesQuery(limit=500, since=datetime(2026, 2, 28, 14, tzinfo=UTC))


def test_answers_tell_what_the_slowest_hundredth_took() -> None:
    answers = Answers(seconds=[0.001 * number for number in range(1, 101)])
    assert answers.document()["p99_ms"] == pytest.approx(100.0)
    assert Answers().document()["p99_ms"] is None


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_kept: bool) -> None:
    """Answer as a gateway: 304 where the tag is known, else a body and a tag."""
    try:
        while head := (await reader.readuntil(b"\r\n\r\n")).decode():
            if 'If-None-Match: "now"' in head:
                writer.write(b'HTTP/1.1 304 Not Modified\r\nETag: "now"\r\n\r\n')
            else:
                writer.write(b'HTTP/1.1 200 OK\r\nETag: "now"\r\nContent-Length: 4\r\n\r\npage')
            await writer.drain()
            if not is_kept:
                return
    except asyncio.IncompleteReadError:
        return
    finally:
        writer.close()


@pytest.mark.parametrize("is_kept", [True, False])
async def test_page_has_its_answer_once_and_asks_with_its_tag_then(is_kept: bool) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answer(reader, writer, is_kept=is_kept)

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        client = Client(Polling(url=url, paths=["/v1/studies"], clients=1, every_seconds=5.0, seconds=5.0))
        answers = Answers()
        for _ in range(3):
            await client.ask("/v1/studies", answers)
        client.close()
    assert (answers.statuses, answers.body_bytes, answers.broken) == ({200: 1, 304: 2}, 4, 0)
    # A kept connection that has ended is no fault: a browser makes it anew, too.
    assert answers.connections == (1 if is_kept else 3)


async def test_page_that_nobody_answers_is_counted() -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        client, answers = Client(Polling(url=url, paths=["/"], clients=1, every_seconds=5.0, seconds=5.0)), Answers()
        await client.ask("/", answers)
    assert (answers.broken, dict(answers.statuses)) == (1, {})
