from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from model.decoding.header import ImageFormat
from services.jobs.errors import QueueUnavailable
from services.jobs.records import Job, Priority, TakenJob
from services.worker.heartbeat import EXIT_HUNG, HeartbeatThread, Watchdog


def taken(film_id: str) -> TakenJob:
    job = Job(
        id=film_id,
        site="default",
        priority=Priority.ROUTINE,
        study_uid="2.25.1",
        sop_instance_uid=None,
        image_format=ImageFormat.PNG,
        payload="p",
        payload_bytes=1,
        sha256="0" * 64,
        submitted_ms=0,
    )
    return TakenJob(job=job, message_id="1-1", taken_ms=0)


class RecordedBeats:
    def __init__(self) -> None:
        self.beats: list[list[str]] = []
        self.lost: list[str] = []
        self.is_down = False
        self.heard = threading.Condition()

    def __call__(self, held: list[TakenJob]) -> list[str]:
        with self.heard:
            self.beats.append([job.job.id for job in held])
            self.heard.notify_all()
            if self.is_down:
                raise QueueUnavailable("down")
            return self.lost

    def wait_for(self, condition: Callable[[], bool]) -> None:
        with self.heard:
            assert self.heard.wait_for(condition, timeout=60)


@contextmanager
def beating(beats: RecordedBeats) -> Iterator[HeartbeatThread]:
    heartbeat = HeartbeatThread(beats, every_seconds=0.01, watchdog=Watchdog(seconds=60))
    heartbeat.start()
    yield heartbeat
    heartbeat.end()


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_held_films_are_kept_until_they_are_dropped() -> None:
    beats = RecordedBeats()
    with beating(beats) as heartbeat:
        heartbeat.hold(taken("a"))
        heartbeat.hold(taken("b"))
        beats.wait_for(lambda: beats.beats[-1:] == [["a", "b"]])
        heartbeat.drop(taken("a"))
        beats.wait_for(lambda: beats.beats[-1:] == [["b"]])


def test_a_film_that_another_worker_has_is_lost_until_it_is_held_again() -> None:
    beats = RecordedBeats()
    beats.lost = ["a", "finished-meanwhile"]
    with beating(beats) as heartbeat:
        heartbeat.hold(taken("a"))
        eventually(lambda: heartbeat.is_lost(taken("a")))
        assert not heartbeat.is_lost(taken("finished-meanwhile"))
        beats.lost = []
        heartbeat.hold(taken("a"))
        assert not heartbeat.is_lost(taken("a"))


def test_a_film_that_is_taken_anew_while_a_beat_is_under_way_is_not_lost_by_its_answer() -> None:
    is_asked, may_answer = threading.Event(), threading.Event()
    rounds: list[int] = []

    def beat(held: list[TakenJob]) -> list[str]:
        rounds.append(len(held))
        if len(rounds) > 1:
            return []
        is_asked.set()
        assert may_answer.wait(60)
        return ["a", "b"]

    heartbeat = HeartbeatThread(beat, every_seconds=0.01, watchdog=Watchdog(seconds=60))
    for film_id in ("a", "b"):
        heartbeat.hold(taken(film_id))
    heartbeat.start()
    assert is_asked.wait(60)
    heartbeat.drop(taken("a"))
    heartbeat.hold(taken("a"))
    may_answer.set()
    eventually(lambda: len(rounds) > 1)
    assert heartbeat.is_lost(taken("b"))
    assert not heartbeat.is_lost(taken("a"))
    heartbeat.end()


def test_a_worker_whose_beats_fail_is_not_current_and_recovers() -> None:
    beats = RecordedBeats()
    heartbeat = HeartbeatThread(beats, every_seconds=0.01, watchdog=Watchdog(seconds=60))
    beats.is_down = True
    heartbeat.hold(taken("a"))
    heartbeat.start()
    eventually(lambda: not heartbeat.is_current)
    beats.is_down = False
    eventually(lambda: heartbeat.is_current)
    heartbeat.end()


def test_a_watchdog_knows_what_should_have_ended() -> None:
    watchdog = Watchdog(seconds=0.0)
    with watchdog.deadline("inference"):
        eventually(lambda: watchdog.overdue() == "inference")
    assert watchdog.overdue() is None


def test_a_worker_whose_beats_fail_in_an_unforeseen_way_ends_itself() -> None:
    program = (
        "import time\n"
        "from services.worker.heartbeat import HeartbeatThread, Watchdog\n"
        "HeartbeatThread(lambda held: 1 / 0, every_seconds=0.02, watchdog=Watchdog(seconds=60)).start()\n"
        "time.sleep(60)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=50, check=False).returncode == EXIT_HUNG


def test_a_worker_whose_inference_never_returns_ends_itself() -> None:
    program = (
        "import time\n"
        "from services.worker.heartbeat import HeartbeatThread, Watchdog\n"
        "watchdog = Watchdog(seconds=0.05)\n"
        "HeartbeatThread(lambda held: (), every_seconds=0.02, watchdog=watchdog).start()\n"
        "with watchdog.deadline('inference'):\n"
        "    time.sleep(60)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=50, check=False).returncode == EXIT_HUNG
