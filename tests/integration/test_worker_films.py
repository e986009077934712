"""What becomes of single films in a worker whose decoding child or network misbehaves. Real Redis, real children."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper
from redis.asyncio import Redis

from model.bundle import read_bundle
from model.decision import Outcome, Score
from model.demographics import AgeSex
from model.errors import InferenceError, NonFiniteScore, ProviderUnavailable, Reason
from model.image import Tensor
from model.runtime import Provider, Scorer
from services.jobs import keys
from services.jobs.ending import end
from services.jobs.queue import JobQueue
from services.jobs.spool import Spool
from services.worker.decoding.nursery import ZYGOTE_COMMAND
from tests.support.bundles import write_tiny_bundle
from tests.support.films import png_film
from tests.support.outcomes import all_done, attempted
from tests.support.queue_steps import ROUTINE
from tests.support.redis_server import RedisServer
from tests.support.submission import submit_film
from tests.support.worker_parts import running_worker


class MeanScorer:
    """Scores a film by its mean; the first ``failures`` batches run out of memory."""

    def __init__(self, *, failures: int = 0) -> None:
        self.failures = failures

    def score(self, tensors: Tensor, age_sex: AgeSex | None = None) -> list[Score]:
        if self.failures:
            self.failures -= 1
            raise InferenceError("out of memory")
        return [Score(probability=float(tensor.mean()) / 255) for tensor in tensors]


async def test_crashing_decoder_ends_decode_crash_and_spares_the_batch(
    redis_server: RedisServer, queue: JobQueue, spool: Spool
) -> None:
    good = [await submit_film(queue, spool, b"gray %d" % level) for level in range(5)]
    crashing = await submit_film(queue, spool, b"crash")
    async with running_worker("w", redis=redis_server.settings, spool=spool, scorer=MeanScorer()):
        records = await all_done(queue, [*good, crashing])
    assert records[crashing.id].reason is Reason.DECODE_CRASH
    assert records[crashing.id].attempts == 1
    assert [records[job.id].probability for job in good] == [level / 255 for level in range(5)]


async def test_a_film_that_needs_more_memory_than_allowed_ends_unread(
    redis_server: RedisServer, queue: JobQueue, spool: Spool, tmp_path: Path
) -> None:
    # The real child, allowed less than these pixels need; the small film beside it fits.
    starved = (
        sys.executable,
        "-c",
        "import sys; sys.argv[1] = sys.argv[1].replace('536870912', '20000000');"
        "from services.worker.decoding.film import answer; from services.worker.decoding.zygote import run_zygote; "
        "run_zygote(answer)",
    )
    large = await submit_film(queue, spool, png_film(np.zeros((4800, 4800), np.uint16)))
    small = await submit_film(queue, spool, png_film(rows=128, columns=128))
    worker = running_worker("w", redis=redis_server.settings, spool=spool, scorer=MeanScorer(), command=starved)
    async with worker:
        records = await all_done(queue, [large, small])
    assert records[large.id].reason is Reason.DECODE_MEMORY
    assert records[small.id].probability is not None


async def test_transient_failures_of_inference_are_retried_until_they_pass(
    redis_server: RedisServer, queue: JobQueue, spool: Spool
) -> None:
    job = await submit_film(queue, spool, b"gray 51")
    async with running_worker("w", redis=redis_server.settings, spool=spool, scorer=MeanScorer(failures=2)):
        await promoted_until_done(queue, job.id)
    record = await queue.record(job.id)
    assert record.probability == pytest.approx(0.2)
    assert record.attempts == 3


async def test_inference_that_never_works_ends_retries_exhausted(
    redis_server: RedisServer, queue: JobQueue, spool: Spool
) -> None:
    job = await submit_film(queue, spool, b"gray 51")
    async with running_worker("w", redis=redis_server.settings, spool=spool, scorer=MeanScorer(failures=99)):
        await promoted_until_done(queue, job.id)
    assert (await queue.record(job.id)).reason is Reason.RETRIES_EXHAUSTED


class RefusingScorer:
    """Fails in a way that trying again cannot help."""

    def __init__(self, error: InferenceError) -> None:
        self._error = error

    def score(self, tensors: Tensor, age_sex: AgeSex | None = None) -> list[Score]:
        raise self._error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ProviderUnavailable("the device is gone"), Reason.RETRIES_EXHAUSTED),
        (NonFiniteScore("no number"), Reason.NON_FINITE),
    ],
    ids=["without a reason", "with a reason"],
)
async def test_failure_that_will_not_pass_ends_the_film_at_once(
    redis_server: RedisServer, queue: JobQueue, spool: Spool, error: InferenceError, reason: Reason
) -> None:
    job = await submit_film(queue, spool, b"gray 51")
    async with running_worker("w", redis=redis_server.settings, spool=spool, scorer=RefusingScorer(error)):
        records = await all_done(queue, [job])
    assert (records[job.id].reason, records[job.id].attempts) == (reason, 1)


async def promoted_until_done(queue: JobQueue, film_id: str) -> None:
    async with asyncio.timeout(30):
        while (await queue.record(film_id)).outcome is None:
            await queue.promote()
            await asyncio.sleep(0.02)


@pytest.fixture
def nan_where_white(tmp_path: Path) -> Scorer:
    """A bundle whose network divides by zero where a film is all white."""
    scale = helper.make_tensor("scale", TensorProto.FLOAT, [], [1 / 255])
    one = helper.make_tensor("one", TensorProto.FLOAT, [], [1.0])
    axes = helper.make_tensor("axes", TensorProto.INT64, [3], [1, 2, 3])
    nodes = [
        helper.make_node("Cast", ["film"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "axes"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "scale"], ["brightness"]),
        helper.make_node("Sub", ["brightness", "one"], ["darkness"]),
        helper.make_node("Div", ["darkness", "darkness"], ["unity"]),  # 0 / 0 where white
        helper.make_node("Mul", ["unity", "brightness"], ["probability"]),
    ]
    graph = helper.make_graph(
        nodes,
        "nan-where-white",
        [helper.make_tensor_value_info("film", TensorProto.UINT8, ["n", 1, 64, 64])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["n"])],
        [scale, one, axes],
    )
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    bundle = read_bundle(write_tiny_bundle(tmp_path / "nan", network=bytes(network.SerializeToString())))
    scorer = Scorer(bundle, provider=Provider.CPU, threads=1)
    scorer.verify_golden()
    return scorer


async def test_non_finite_probability_ends_its_own_film_only(
    redis_server: RedisServer, queue: JobQueue, spool: Spool, nan_where_white: Scorer
) -> None:
    white = await submit_film(queue, spool, b"gray 255")
    good = [await submit_film(queue, spool, b"gray %d" % level) for level in (51, 102, 153)]
    worker = running_worker("w", redis=redis_server.settings, spool=spool, scorer=nan_where_white, decoders=1)
    async with worker:
        records = await all_done(queue, [white, *good])
    assert records[white.id].outcome is Outcome.NOT_ASSESSED
    assert records[white.id].reason is Reason.NON_FINITE
    assert records[white.id].probability is None
    assert [records[job.id].probability for job in good] == pytest.approx([0.2, 0.4, 0.6], abs=1e-6)


async def test_a_film_under_way_at_a_stop_is_given_back_without_burning_an_attempt(
    redis_server: RedisServer, queue: JobQueue, spool: Spool
) -> None:
    slow = await submit_film(queue, spool, b"sleep 25")
    async with running_worker("first", redis=redis_server.settings, spool=spool, scorer=MeanScorer()) as first:
        await attempted(queue, slow, times=1)
        first.stop.set()
        await first.consuming
    assert (await queue.record(slow.id)).attempts == 0
    (given_back,) = await queue.take("second", count=1, block_ms=0)
    assert given_back.job == slow
    assert (given_back.crashes, given_back.tries) == (0, 0)


async def test_a_slow_film_is_not_taken_from_the_worker_that_works_on_it(
    redis_server: RedisServer, queue: JobQueue, spool: Spool
) -> None:
    # Several beats in the time after which a film counts as left, so that a disk that stalls for a second costs none.
    slow = await submit_film(queue, spool, b"sleep 9")
    settings = redis_server.settings
    async with (
        running_worker("first", redis=settings, spool=spool, scorer=MeanScorer(), idle_seconds=4.0),
        running_worker("second", redis=settings, spool=spool, scorer=MeanScorer(), idle_seconds=4.0),
    ):
        record = (await all_done(queue, [slow]))[slow.id]
    assert record.attempts == 1
    assert record.probability == 0.0


async def test_a_suspect_is_not_held_while_its_next_worker_finishes_other_films(
    redis_server: RedisServer, redis_client: Redis, queue: JobQueue, spool: Spool
) -> None:
    async def seem_to_live(message_id: str) -> None:
        while True:
            await redis_client.xclaim(ROUTINE, keys.GROUP, "dead", 0, [message_id], idle=0, justid=True)
            await asyncio.sleep(0.05)

    suspect = await submit_film(queue, spool, b"gray 40")
    (held,) = await queue.take("dead", count=1, block_ms=0)
    living = asyncio.create_task(seem_to_live(held.message_id))
    slow = await submit_film(queue, spool, b"sleep 8")
    async with running_worker("w", redis=redis_server.settings, spool=spool, scorer=MeanScorer(), idle_seconds=3.0):
        await attempted(queue, slow, times=1)
        await end([living])
        records = await all_done(queue, [slow, suspect])
    assert records[suspect.id].probability == 40 / 255
    slow_done = await redis_client.hget(keys.instance(slow.id), "done_ms")
    suspect_taken, crashes = await redis_client.hmget(keys.instance(suspect.id), "taken_ms", "crashes")
    assert int(slow_done) <= int(suspect_taken), "it was to blame for what its worker died of meanwhile"
    assert crashes == "1"


async def test_children_survive_a_corrupt_film(redis_server: RedisServer, queue: JobQueue, spool: Spool) -> None:
    films = [png_film(seed=1), png_film(seed=2)[:300], png_film(seed=3)]
    jobs = [await submit_film(queue, spool, payload) for payload in films]
    async with running_worker(
        "w", redis=redis_server.settings, spool=spool, scorer=MeanScorer(), command=ZYGOTE_COMMAND, decoders=1
    ):
        records = await all_done(queue, jobs)
    reasons = [records[job.id].reason for job in jobs]
    assert reasons == [None, Reason.DECODE_ERROR, None]
