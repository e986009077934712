"""Results as DICOM files. The door to this room: highdicom is loaded behind it, when the first file is asked for.

highdicom is an extra of the installation and takes most of a second to load; whoever makes no DICOM needs neither.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite

from model.decoding.source_attributes import SourceAttributes
from services.dicom.errors import DicomExtraMissing
from services.jobs.records import PastDecision, Record

_EXTRA: Final = "highdicom"


def report_file(record: Record, source: SourceAttributes, past: Sequence[PastDecision]) -> bytes:
    """Return ``report.build_report`` as a file; raise ``DicomExtraMissing`` where there is no highdicom."""
    with _extra():
        from services.dicom.report import build_report
    return _file(build_report(record, source, past))


def overlay_file(record: Record, source: SourceAttributes, preview: bytes, activation: bytes, *, commit: int) -> bytes:
    """Return ``overlay.build_overlay`` as a file; raise ``DicomExtraMissing`` where there is no highdicom."""
    with _extra():
        from services.dicom.overlay import build_overlay
    return _file(build_overlay(record, source, preview, activation, commit=commit))


def rejection_file(record: Record, source: SourceAttributes | None, past: Sequence[PastDecision]) -> bytes | None:
    """Return ``rejection.build_rejection`` as a file, or ``None``; raise ``DicomExtraMissing`` as the others."""
    with _extra():
        from services.dicom.rejection import build_rejection
    note = build_rejection(record, source, past)
    return _file(note) if note is not None else None


def require_extra() -> None:
    """Raise ``DicomExtraMissing`` where no DICOM objects can be made; for a process that is there to make them."""
    with _extra():
        import highdicom  # noqa: F401 - whether it can be loaded is the question


@contextmanager
def _extra() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != _EXTRA:
            raise
        raise DicomExtraMissing("DICOM objects need the extra `dicom`: pip install 'cxr-triage[dicom]'") from error


def _file(dataset: Dataset) -> bytes:
    buffer = io.BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()
