"""Whether a payload is a film that we have, where its SOPInstanceUID is known and its bytes are not.

The id of a film follows from its bytes, so the same object by STOW and by C-STORE, or through another archive, has two.
What counts is what is seen: equal pixels under an equal header are the same film, and keep its record. Anything else is
another film, also where nobody can tell: it is read, and nobody's result is taken for its own. Place in the walk:
between look-up and spool, only for a known SOPInstanceUID. Blocks; callers use a thread. Knows no Redis.
"""

from __future__ import annotations

from pathlib import Path

from model.decoding.pixel_digest import FilmDigest, digest_film
from model.errors import ImageError
from services.jobs.disk import translate_disk_errors
from services.jobs.errors import SpoolUnavailable
from services.jobs.queue import Sibling
from services.jobs.records import Job, Record
from services.jobs.spool import Spool


def recognise(content: bytes | Path, sibling: Sibling, spool: Spool) -> Record | None:
    """Return the sibling's record where ``content`` is the same film, ``None`` where it is another, or may be.

    Raises
    ------
    SpoolUnavailable
        If ``content`` cannot be read. A sibling that cannot be read is another film.
    """
    if sibling.record is None or sibling.kept is None:
        return None
    kept = _digest_of_kept(sibling.kept, spool)
    if kept is None:
        return None
    with translate_disk_errors():
        return sibling.record if _digest(content) == kept else None


def _digest_of_kept(job: Job, spool: Spool) -> FilmDigest | None:
    try:
        with translate_disk_errors():
            return _digest(spool.read(job))
    except SpoolUnavailable:
        return None  # past its retention since we asked, or a damaged disk: no reason to keep a film out


def _digest(content: bytes | Path) -> FilmDigest | None:
    try:
        return digest_film(content)
    except ImageError:
        return None
