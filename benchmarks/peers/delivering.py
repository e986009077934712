"""Sends one film to a contender and says whether it was scored; the same films, stamped alike, for every contender.

Knows each contender's HTTP and nothing of processes or clocks.
"""

from __future__ import annotations

import json
import math
from typing import Final

from benchmarks.films import screen_png
from services.bench.connections import Answer, ConnectionPool, Undelivered
from services.bench.films import Films, Template, template_of
from services.bench.load import Deliver, Ending
from services.bench.target import Follow, TargetOptions, TriageTarget

PATIENCE_SECONDS: Final = 120.0
# More than one drawing, so that no cache of the processor sees one film over and over.
_DRAWINGS: Final = 4
_BOUNDARY: Final = "7d1b8f5e4c6a"
_FORM_HEAD: Final = (
    f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="film.png"\r\n'
    "Content-Type: image/png\r\n\r\n"
).encode()
_FORM_TAIL: Final = f"\r\n--{_BOUNDARY}--\r\n".encode()


def drawn_templates() -> list[Template]:
    """Return the PNGs of 1024 by 1024 pixels that everybody gets."""
    return [template_of(screen_png(seed)) for seed in range(_DRAWINGS)]


def films_of_cell(templates: list[Template], cell: int) -> Films:
    """Return the films of one cell of the table: the same for every contender, and no film of any other cell."""
    return Films(templates, run=str(10_000_000 + cell))


def peer_deliver(pool: ConnectionPool, films: Films, *, takes_form: bool) -> Deliver:
    """Return what sends film ``number`` to a peer; anything but a finite probability is a failure."""
    content_type = f"multipart/form-data; boundary={_BOUNDARY}" if takes_form else "image/png"

    async def deliver(number: int) -> Ending:
        _, payload = films.film(number)
        body = (_FORM_HEAD, payload, _FORM_TAIL) if takes_form else (payload,)
        try:
            answer = await pool.request("POST", "/predict", headers={"content-type": content_type}, body=body)
        except Undelivered as error:
            return Ending(kind=error.code, is_good=False)
        return _ending_of(answer)

    return deliver


def _ending_of(answer: Answer) -> Ending:
    if not answer.is_success:
        return Ending(kind=f"http_{answer.status}", is_good=False)
    try:
        probability = float(json.loads(answer.body)["probability"])
    except (ValueError, KeyError, TypeError):
        return Ending(kind="no_probability", is_good=False)
    is_good = math.isfinite(probability) and 0.0 <= probability <= 1.0
    return Ending(kind="scored" if is_good else "no_probability", is_good=is_good)


def our_deliver(pool: ConnectionPool, films: Films) -> Deliver:
    """Return what sends film ``number`` to this service and waits for its outcome; a film not assessed is a failure."""
    target = TriageTarget(pool, films, TargetOptions(follow=Follow.WAIT, patience_seconds=PATIENCE_SECONDS))

    async def deliver(number: int) -> Ending:
        ending = await target.deliver(number)
        is_good = ending.is_good and ending.kind in ("flagged", "not_flagged")
        return Ending(kind="scored" if is_good else ending.kind, is_good=is_good, pause_seconds=ending.pause_seconds)

    return deliver
