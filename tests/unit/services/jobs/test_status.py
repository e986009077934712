"""Workers of two versions are on the same list while a site upgrades."""

from __future__ import annotations

import json

from services.jobs.records import ModelReference
from services.jobs.status import Preparation, PreparationState, WorkerStatus, dump_status, read_status

STATUS = WorkerStatus(
    consumer="worker-1",
    beat_ms=0,
    model=ModelReference(name="tiny", version="1", digest="0" * 64),
    provider="CPUExecutionProvider",
    threads=2,
    operating_point="f3",
    threshold=0.4,
    labels=("effusion",),
    operating_points=({"name": "f3", "threshold": 0.4},),
    precision="int8",
    inference_precision="int8",
    has_heatmap=True,
    has_embedding_gate=True,
    probability_rule="any_of_findings",
    inputs=("film", "age", "sex"),
    preparation=Preparation(
        attempt="one", digest="1" * 64, state=PreparationState.REFUSED, code="bundle_corrupt", detail="it differs"
    ),
)


def test_a_status_is_read_as_it_was_announced_with_the_queues_time() -> None:
    read = read_status(f"1700|{dump_status(STATUS)}")
    assert read is not None
    assert read.beat_ms == 1700
    assert dump_status(read) == dump_status(STATUS).replace('"beat_ms":0', '"beat_ms":1700')


def test_a_worker_that_does_not_say_what_it_can_is_listed_as_one_that_cannot() -> None:
    fields = json.loads(dump_status(STATUS))
    later = ("precision", "inference_precision", "has_heatmap", "has_embedding_gate", "probability_rule", "inputs")
    for unknown in (*later, "preparation"):
        del fields[unknown]
    read = read_status(f"1700|{json.dumps(fields)}")
    assert read is not None
    assert (read.precision, read.has_heatmap, read.has_embedding_gate) == ("fp32", False, False)
    assert (read.probability_rule, read.inputs) == ("softmax", ("film",))
    assert (read.preparation, read.inference_precision) == (None, None)


def test_a_worker_that_says_more_than_we_know_is_listed() -> None:
    fields = json.loads(dump_status(STATUS)) | {"has_second_opinion": True}
    assert read_status(f"1700|{json.dumps(fields)}") is not None


def test_what_is_no_status_is_left_out() -> None:
    for text in ("", "1700|", "1700|{}", f"soon|{dump_status(STATUS)}"):
        assert read_status(text) is None
