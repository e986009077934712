"""Records and kept pictures from which results are made, without a worker."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from model.decoding.source_attributes import SourceAttributes, read_source_attributes
from model.phantom import chest_phantom
from services.dicom.errors import ResultError
from services.dicom.source import read_source
from services.jobs.pictures import film_and_model, pack_picture
from services.jobs.records import PastDecision, Record
from tests.support.films import dicom_film
from tests.support.shared_data import shared_data

FILM_ID: Final = "a" * 32
SHA256: Final = "f" * 64
DIGEST: Final = "d" * 64
DONE_AT: Final = datetime(2026, 3, 4, 23, 30, 5, 123000, tzinfo=UTC)
SCORE: Final[dict[str, Any]] = {
    "outcome": "flagged",
    "reason": None,
    "probability": 0.8731234567,
    "threshold": 0.42,
    "policy": {"site": "default", "version": 3, "name": "high recall"},
    "model": {"name": "tiny", "version": "1.2.0", "digest": DIGEST},
    "findings": None,
}
NOTHING: Final[dict[str, Any]] = dict.fromkeys(SCORE) | {"outcome": "not_assessed", "reason": "view"}


def source_of(**attributes: Any) -> SourceAttributes:
    """Return what results repeat of a drawn film with these attributes."""
    return read_source_attributes(dicom_film(rows=64, columns=64, **attributes))


def reportable_films() -> dict[Path, SourceAttributes]:
    """Return every real film that results can be made of."""
    sources = {}
    for path in sorted(shared_data("dicom").rglob("*")):
        if path.is_file():
            try:
                sources[path] = read_source(path)
            except ResultError:
                continue
    return sources


def done_record(**decision: Any) -> Record:
    """Return a flagged film's record with this changed."""
    facts = {
        "id": FILM_ID,
        "study_uid": "1.2.3",
        "sop_instance_uid": "1.2.3.4",
        "site": "default",
        "priority": "routine",
        "state": "done",
        "sha256": SHA256,
        "submitted_at": DONE_AT,
        "done_at": DONE_AT,
        "timings_ms": {},
        "attempts": 1,
        "overdue": False,
        "links": {"self": f"/v1/instances/{FILM_ID}", "study": "/v1/studies/1.2.3"},
    }
    return Record.model_validate(facts | SCORE | decision)


def past_decision(**decision: Any) -> PastDecision:
    """Return what a film was before, flagged where nothing else is said."""
    facts = {"done_at": DONE_AT, "replaced_at": DONE_AT, "timings_ms": {}, "attempts": 1}
    return PastDecision.model_validate(facts | SCORE | decision)


def kept_pictures(rows: int = 300, columns: int = 250) -> tuple[bytes, bytes]:
    """Return preview and activation map as a worker keeps them of ``done_record``'s film."""
    preview = np.rint(chest_phantom(3, rows=rows, columns=columns) * 255).astype(np.uint8)
    activation = np.array([[0, 6], [-2, 1]], np.float32)
    return pack_picture(preview, of=SHA256), pack_picture(activation, of=film_and_model(film=SHA256, model=DIGEST))
