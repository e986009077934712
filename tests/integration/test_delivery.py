"""Results reach their targets: by a real delivery process and a real Redis, to receivers that die, refuse and hang."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from services.delivery.signing import signed_headers, signing_key
from services.jobs import keys
from services.jobs.delivery_outbox import DeliveryOutbox
from services.jobs.queue import JobQueue
from services.jobs.spool import Spool
from tests.support import delivery
from tests.support.delivery import SECRET, DeliveryProcess, cstore, decide, hook, stow
from tests.support.films import uid_of
from tests.support.gateway import wait_until
from tests.support.receivers import DIE, HANG, Receiver
from tests.support.redis_server import RedisServer

pytest.importorskip("highdicom", reason="the extra [dicom] is not installed")

Deliver = Callable[..., DeliveryProcess]
Receive = Callable[[str], Receiver]
Owed = Callable[[str], tuple[int, int]]


@pytest.fixture
def receive(tmp_path: Path) -> Iterator[Receive]:
    """Make receivers by their name, ``http`` or ``dicom`` and what tells them apart; the test starts them."""
    with ExitStack() as stack:
        yield lambda name: stack.enter_context(Receiver(tmp_path / name, name.partition("-")[0]))


@pytest.fixture
def deliver(tmp_path: Path, redis_server: RedisServer) -> Iterator[Deliver]:
    """Start a delivery to these targets; what is decided after that is theirs."""
    with ExitStack() as stack:

        def start(*targets: str, **settings: object) -> DeliveryProcess:
            process = stack.enter_context(DeliveryProcess(tmp_path, redis_server, *targets, **settings))
            process.wait_started()
            return process

        yield start


@pytest.fixture
def outbox(redis_client: Redis) -> DeliveryOutbox:
    return DeliveryOutbox(redis_client)


@pytest.fixture
def owed(redis_server: RedisServer) -> Owed:
    """How many results a target has not got, and how many were given up."""
    return partial(delivery.owed, redis_server)


async def test_each_decision_is_told_once_signed_and_without_patient_data(
    tmp_path: Path, queue: JobQueue, spool: Spool, receive: Receive, deliver: Deliver, owed: Owed
) -> None:
    target = receive("http")
    target.start()
    deliver(hook(target.port, tmp_path))
    jobs = [await decide(queue, spool, number) for number in range(3)]
    wait_until(lambda: owed("hook") == (0, 0), what="delivery")
    kept = [(entry["headers"], base64.b64decode(entry["body"])) for entry in target.kept()]
    assert sorted(json.loads(body)["data"]["id"] for _, body in kept) == sorted(job.id for job in jobs)
    for headers, body in kept:
        told = {name.lower(): text for name, text in headers.items()}
        signed = signed_headers(
            signing_key(SecretStr(SECRET)),
            message_id=told["webhook-id"],
            timestamp_seconds=int(told["webhook-timestamp"]),
            body=body,
        )
        assert signed.items() <= told.items()
        assert not any(uid_of("delivery", number).encode() in body for number in range(3))


@pytest.mark.parametrize("kind", ["http", "dicom"])
async def test_target_that_dies_before_it_answers_has_each_object_once_when_it_is_back(
    queue: JobQueue, spool: Spool, receive: Receive, deliver: Deliver, owed: Owed, kind: str
) -> None:
    target = receive(kind)
    target.start()
    target.order(DIE)
    name, text = ("web", stow(target.port)) if kind == "http" else ("node", cstore(target.port))
    deliver(text, delivery_concurrency=1)
    for number in range(3):
        await decide(queue, spool, number)
    target.wait_until_dead()
    before = target.instances()
    assert len(before) == 1
    target.start()
    wait_until(lambda: owed(name) == (0, 0), what="delivery")
    assert len(set(target.instances())) == 3
    assert target.instances().count(before[0]) == 2  # the very same object, since nobody could know that it was there


async def test_result_that_was_sent_by_a_delivery_that_was_killed_is_the_same_object_again(
    queue: JobQueue, spool: Spool, receive: Receive, deliver: Deliver, owed: Owed, redis_client: Redis
) -> None:
    target = receive("http")
    target.start()
    target.order(HANG)
    first = deliver(stow(target.port), delivery_concurrency=1)
    job = await decide(queue, spool, 1)
    wait_until(lambda: len(target.kept()) == 1, what="the first attempt")
    first.kill()
    target.order("200")
    await redis_client.zadd(keys.delivery("due", "web"), {f"{job.id}:1": 1})  # its lease is over
    deliver(stow(target.port))
    wait_until(lambda: owed("web") == (0, 0), what="delivery")
    assert len(target.instances()) == 2
    assert len(set(target.instances())) == 1


async def test_dead_target_holds_up_no_other(
    tmp_path: Path, queue: JobQueue, spool: Spool, receive: Receive, deliver: Deliver, owed: Owed
) -> None:
    living, dead, hanging = receive("http"), receive("http-dead"), receive("http-hanging")
    living.start()
    hanging.start()
    hanging.order(HANG)
    process = deliver(
        hook(living.port, tmp_path),
        hook(dead.port, tmp_path, name="dead"),
        hook(hanging.port, tmp_path, name="hanging"),
    )
    for number in range(8):
        await decide(queue, spool, number)
    wait_until(lambda: owed("hook") == (0, 0), what="delivery to the living")
    assert (owed("dead"), owed("hanging")) == ((8, 0), (8, 0))
    dead.start()
    # Counted a moment after it is taken off.
    counted = partial(process.counted, "cxr_deliveries_total", target="dead")
    wait_until(lambda: counted(outcome="delivered") == 8, what="delivery to the one that was dead")
    assert (owed("dead"), counted(outcome="dead")) == ((0, 0), 0)
    process.kill()  # told to stop, it would let the hanging one finish


async def test_what_a_target_refuses_for_good_is_a_dead_letter_until_an_operator_requeues_it(
    queue: JobQueue, spool: Spool, outbox: DeliveryOutbox, receive: Receive, deliver: Deliver, owed: Owed
) -> None:
    target = receive("http")
    target.start()
    target.order("409")
    deliver(stow(target.port))
    job = await decide(queue, spool, 1)
    wait_until(lambda: owed("web") == (0, 1), what="the dead letter")
    (letter,) = await outbox.dead_letters("web", limit=10)
    assert (letter.film_id, letter.reason, letter.attempts) == (job.id, "http_409", 1)
    target.order("200")
    assert (await outbox.requeue("web")).count == 1
    wait_until(lambda: owed("web") == (0, 0), what="delivery")
    assert len(set(target.instances())) == 1


async def test_result_is_given_up_after_its_attempts_where_no_time_is_left_either(
    queue: JobQueue, spool: Spool, outbox: DeliveryOutbox, receive: Receive, deliver: Deliver, owed: Owed
) -> None:
    target = receive("http")
    target.start()
    target.order("500")
    deliver(stow(target.port), delivery_attempts=3, delivery_give_up_hours=0)
    await decide(queue, spool, 1)
    wait_until(lambda: owed("web") == (0, 1), what="the dead letter")
    (letter,) = await outbox.dead_letters("web", limit=10)
    assert (letter.reason, letter.attempts) == ("http_500", 3)
    assert len(target.instances()) == 3


async def test_target_that_is_gone_is_told_nothing_until_an_operator_enables_it(
    tmp_path: Path,
    queue: JobQueue,
    spool: Spool,
    outbox: DeliveryOutbox,
    receive: Receive,
    deliver: Deliver,
    owed: Owed,
) -> None:
    target = receive("http")
    target.start()
    target.order("410")
    first = deliver(hook(target.port, tmp_path))
    await decide(queue, spool, 1)
    wait_until(lambda: "target_disabled" in first.output, what="the target's end")
    assert first.stop() == 0
    target.order("200")
    deliver(hook(target.port, tmp_path))  # a restart does not make it forget
    await decide(queue, spool, 2)
    assert owed("hook") == (2, 0)
    assert await outbox.enable("hook")
    wait_until(lambda: owed("hook") == (0, 0), what="delivery")
    assert len({json.loads(base64.b64decode(entry["body"]))["data"]["id"] for entry in target.kept()}) == 2


async def test_redirect_is_not_followed(
    tmp_path: Path, queue: JobQueue, spool: Spool, receive: Receive, deliver: Deliver, owed: Owed
) -> None:
    target = receive("http")
    target.start()
    target.order("302")
    process = deliver(hook(target.port, tmp_path))
    await decide(queue, spool, 1)
    wait_until(lambda: process.counted("cxr_deliveries_total", outcome="retried") > 1, what="two attempts")
    assert {entry["path"] for entry in target.kept()} == {"/hook"}
    assert owed("hook") == (1, 0)


@pytest.mark.parametrize("kind", ["http", "dicom"])
async def test_a_stop_gives_back_what_a_hanging_target_has_not_taken(
    queue: JobQueue, spool: Spool, outbox: DeliveryOutbox, receive: Receive, deliver: Deliver, kind: str
) -> None:
    target = receive(kind)
    target.start()
    target.order(HANG)
    name, text = ("web", stow(target.port)) if kind == "http" else ("node", cstore(target.port))
    process = deliver(text, delivery_send_seconds=60)
    job = await decide(queue, spool, 1)
    wait_until(lambda: len(target.kept()) == 1, what="the attempt")
    assert process.stop() == 0
    (again,) = await outbox.lease(name, count=10)
    assert (again.film_id, again.attempts) == (job.id, 0)


async def test_withdrawn_film_is_taken_back_at_a_target_that_has_its_report(
    queue: JobQueue, spool: Spool, receive: Receive, deliver: Deliver, owed: Owed
) -> None:
    target = receive("http")
    target.start()
    deliver(stow(target.port))
    job = await decide(queue, spool, 1)
    wait_until(lambda: owed("web") == (0, 0), what="delivery of the report")
    await queue.withdraw(job.id)
    wait_until(lambda: len(target.instances()) == 2, what="delivery of the rejection")
    assert len(set(target.instances())) == 2
    assert b"1.2.840.10008.5.1.4.1.1.88.59" in base64.b64decode(target.kept()[1]["body"])  # a Key Object


async def test_neither_credentials_nor_patient_data_are_in_the_log(
    tmp_path: Path, queue: JobQueue, spool: Spool, receive: Receive, deliver: Deliver, owed: Owed
) -> None:
    target = receive("http")
    target.start()
    target.order("500")
    password = tmp_path / "password"
    password.write_text("ZZCANARY")
    credentials = f'user = "cxr"\npassword = {{ file = "{password}" }}\n'
    process = deliver(stow(target.port) + credentials, hook(target.port, tmp_path))
    await decide(queue, spool, 1)
    wait_until(lambda: process.counted("cxr_deliveries_total", outcome="retried") > 3, what="attempts that fail")
    target.order("200")
    wait_until(lambda: owed("web") == owed("hook") == (0, 0), what="delivery")
    assert any("Authorization" in entry["headers"] for entry in target.kept())
    for secret in ("ZZCANARY", SECRET, base64.b64encode(b"cxr:ZZCANARY").decode(), uid_of("delivery", 1)):
        assert secret not in process.output
