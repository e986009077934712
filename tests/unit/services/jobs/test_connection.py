"""The wall before Redis: every foreign error is ours, and nobody waits for ever."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import uvloop
from redis import exceptions

from services.jobs.connection import connect_gateway, translate_redis_errors
from services.jobs.errors import QueueUnavailable
from services.jobs.queue import JobQueue
from services.jobs.settings import RedisSettings
from tests.support.jobs import make_job


@pytest.mark.parametrize(
    "error",
    [
        exceptions.ConnectionError("refused"),
        exceptions.TimeoutError("slow"),
        exceptions.BusyLoadingError("LOADING Redis is loading the dataset in memory"),
        exceptions.OutOfMemoryError("OOM command not allowed"),
        exceptions.ReadOnlyError("READONLY You can't write against a read only replica."),
        exceptions.ResponseError("MISCONF Errors writing to the AOF file: No space left on device"),
        exceptions.ResponseError("Error running script: @user_script:9: -OOM command not allowed"),
        TimeoutError(),
    ],
)
def test_every_error_of_redis_becomes_queue_unavailable(error: Exception) -> None:
    with pytest.raises(QueueUnavailable) as translated, translate_redis_errors():
        raise error
    assert translated.value.__cause__ is error


@pytest.mark.parametrize("error", [KeyError("ours"), RuntimeError("ours")])
def test_errors_of_our_own_pass_the_wall_unchanged(error: Exception) -> None:
    with pytest.raises(type(error)), translate_redis_errors():
        raise error


def test_connection_that_ends_in_mid_handshake_becomes_queue_unavailable() -> None:
    async def write_to_a_closed_connection() -> None:
        async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0) as listener:
            _, writer = await asyncio.open_connection(*listener.sockets[0].getsockname())
            writer.transport.abort()
            await asyncio.sleep(0)
            with translate_redis_errors():
                writer.writelines([b"as redis-py does"])

    with pytest.raises(QueueUnavailable, match="the handler is closed"):
        uvloop.run(write_to_a_closed_connection())


async def test_unreachable_redis_is_reported_within_the_patience(tmp_path: Path) -> None:
    async with connect_gateway(RedisSettings.model_validate({"url": f"unix://{tmp_path}/none.sock"})) as client:
        with pytest.raises(QueueUnavailable):
            await JobQueue(client).submit(make_job())


async def test_redis_that_accepts_but_never_answers_is_given_up(tmp_path: Path) -> None:
    async def never_answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _reader.read()
        writer.close()

    listener = await asyncio.start_unix_server(never_answer, str(tmp_path / "deaf.sock"))
    async with connect_gateway(RedisSettings.model_validate({"url": f"unix://{tmp_path}/deaf.sock"})) as client:
        with pytest.raises(QueueUnavailable):
            await JobQueue(client, patience_seconds=0.2).submit(make_job())
    listener.close()
