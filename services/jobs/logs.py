"""Structured logging of gateway and worker: one line an event, in ids and codes.

Owns how a record becomes a line, and what may not be in one (STYLE rule 10). Must not know the events themselves.
Our own messages are constant text with ``extra`` fields; other libraries' messages are withheld, because pydicom and
its like quote element values. Exceptions are logged as class, ``code`` and stack, never with their text.

    logger = logging.getLogger(__name__)
    logger.info("job scored", extra={"action": "job_scored", "job_id": job.id})
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import traceback
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Literal

# Loggers whose messages are constant text: ours, and uvicorn's notices of start and stop. Its access log is not
# among them, since it writes whole URLs.
_TRUSTED: Final = ("services", "model", "uvicorn.error")
_WITHHELD: Final = "message of a library withheld"
_STACK_DEPTH: Final = 12
_STANDARD_FIELDS: Final = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
    "color_message",
}


def configure_logging(format: Literal["json", "text"], service: str) -> None:  # noqa: A002 - named after the setting
    """Send every log line of the process to stderr, formatted.

    Replaces the root logger's handlers, so a repeated call takes effect again. Library warnings and uncaught
    exceptions of any thread go the same way.

    Parameters
    ----------
    format
        ``json``: one JSON object a line. ``text``: the same fields for a terminal.
    service
        Name of the process, for lines that meet in one place: ``api``, ``worker``.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(service) if format == "json" else TextFormatter(service))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    # uvicorn brings handlers of its own unless it is started with log_config=None; its access log quotes URLs.
    logging.getLogger("uvicorn.access").disabled = True
    # It tells of every module of attributes that it copies; withheld, these lines are noise.
    logging.getLogger("highdicom").setLevel(logging.WARNING)
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``time`` (RFC 3339 UTC), ``level``, ``service``, ``logger``, ``message``, extras."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON; values that JSON lacks become their ``str``."""
        line = {
            "time": _time(record).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": _message(record),
            **_fields(record),
        }
        return json.dumps(line, default=str, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """The same for a person: time, level, service, message, ``key=value``."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of text."""
        fields = " ".join(f"{key}={value}" for key, value in _fields(record).items() if key != "action")
        head = f"{_time(record):%H:%M:%S} {record.levelname.lower():<7} {self._service}: {_message(record)}"
        return f"{head} {fields}".rstrip()


def _time(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, tz=UTC)


def _message(record: logging.LogRecord) -> str:
    is_trusted = any(record.name == name or record.name.startswith(f"{name}.") for name in _TRUSTED)
    return record.getMessage() if is_trusted else _WITHHELD


def _fields(record: logging.LogRecord) -> dict[str, object]:
    fields = {name: value for name, value in vars(record).items() if name not in _STANDARD_FIELDS}
    if record.exc_info and record.exc_info[1] is not None:
        fields |= _describe(record.exc_info[1])
    return fields


def _describe(error: BaseException) -> dict[str, object]:
    """Class, our code and where it happened. The text is left out: libraries quote what they were parsing.

    Of a group it is the first error, because the group itself only says where others were waited for.
    """
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    frames = traceback.extract_tb(error.__traceback__)[-_STACK_DEPTH:]
    described: dict[str, object] = {
        "error": type(error).__name__,
        "stack": [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames],
    }
    code = getattr(error, "code", None)
    return described | {"code": code} if isinstance(code, str) else described


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger(__name__).critical(
        "uncaught exception", exc_info=(kind, error, trace), extra={"action": "uncaught_exception"}
    )


def _log_uncaught_in_thread(uncaught: threading.ExceptHookArgs) -> None:
    if uncaught.exc_value is not None:
        _log_uncaught(uncaught.exc_type, uncaught.exc_value, uncaught.exc_traceback)
