from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Iterator

import pytest

from model.errors import BundleNotFound
from services.jobs.logs import configure_logging


@pytest.fixture(autouse=True)
def logging_restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    hooks = sys.excepthook, threading.excepthook
    yield
    root.handlers[:], root.level = handlers, level
    sys.excepthook, threading.excepthook = hooks
    logging.captureWarnings(False)


def last_line(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    return dict(json.loads(capsys.readouterr().err.strip().splitlines()[-1]))


def test_an_event_is_one_json_object_with_its_ids(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json", "worker")
    logging.getLogger("services.worker.consumer").info("job scored", extra={"action": "job_scored", "job_id": "ab12"})
    line = last_line(capsys)
    assert line["time"].endswith("Z")  # type: ignore[attr-defined]  # a string, or the assertion is right to fail
    del line["time"]
    assert line == {
        "level": "info",
        "service": "worker",
        "logger": "services.worker.consumer",
        "message": "job scored",
        "action": "job_scored",
        "job_id": "ab12",
    }


def test_an_event_as_text_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("text", "api")
    logging.getLogger("services.api").warning("queue lost", extra={"action": "queue_lost", "job_id": "ab12"})
    assert capsys.readouterr().err.endswith("warning api: queue lost job_id=ab12\n")


def test_what_a_parser_says_of_a_film_is_withheld(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json", "worker")
    logging.getLogger("pydicom.valuerep").warning("Invalid value for VR PN: 'ZZCANARY^PATIENT'")
    assert "ZZCANARY" not in json.dumps(last_line(capsys))


def test_an_exception_is_logged_by_class_and_place_without_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json", "worker")
    try:
        raise ValueError("ZZCANARY is no number")
    except ValueError:
        logging.getLogger("services.worker").exception("unexpected", extra={"action": "unexpected"})
    line = last_line(capsys)
    assert line["error"] == "ValueError"
    assert "test_logs.py" in str(line["stack"])
    assert "ZZCANARY" not in json.dumps(line)


def test_a_group_of_exceptions_is_logged_by_what_went_wrong_first(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json", "worker")
    first, second = BundleNotFound("no bundle in here"), ValueError("(0010,0010)")
    try:
        raise ExceptionGroup("outer", [ExceptionGroup("inner", [first]), second])
    except ExceptionGroup:
        logging.getLogger("services.worker").exception("worker failed")
    line = last_line(capsys)
    assert (line["error"], line["code"]) == ("BundleNotFound", "bundle_not_found")


def test_an_exception_of_ours_is_logged_with_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json", "worker")
    logging.getLogger("services.worker").error("no bundle", exc_info=BundleNotFound("nowhere"))
    assert last_line(capsys)["code"] == "bundle_not_found"


def test_an_uncaught_exception_of_a_thread_is_logged_without_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json", "worker")

    def fail() -> None:
        raise RuntimeError("ZZCANARY")

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    line = last_line(capsys)
    assert line["error"] == "RuntimeError"
    assert "ZZCANARY" not in json.dumps(line)
