"""How much smaller a film may be decoded where a site has chosen ``preview`` resolution. Knows sizes, no pixels."""

from __future__ import annotations

from typing import Final

from model.decoding.header import Header
from model.preview import PREVIEW_SIDE
from services.worker.decoding.messages import FilmOrder

_REDUCTIONS: Final = (8, 4, 2)
# How many pixels of what is decoded stand behind one of the tensor's, along each side. With two, scores of films of
# texture moved by up to .07, and mostly down (docs/decisions/0007-incomplete-jpeg.md).
_PIXELS_FOR_ONE: Final = 4


def accepted_reduction(order: FilmOrder, header: Header) -> int:
    """Return the most by which each side may come back smaller: 1, 2, 4 or 8.

    1 for exact resolution. Otherwise as far as the preview comes out as large as from the whole film and the film's
    longer side stays at least four times the tensor's, so that both are still averages of finer pixels.
    """
    longer = max(header.rows or 0, header.columns or 0)
    if order.resolution == "exact" or header.pixel_aspect != 1.0:
        return 1
    shrunk_by = -(-longer // PREVIEW_SIDE)
    for reduction in _REDUCTIONS:
        reduced = -(-longer // reduction)
        is_fine_enough = reduced >= _PIXELS_FOR_ONE * order.preprocessing.size
        if is_fine_enough and reduction * -(-reduced // PREVIEW_SIDE) == shrunk_by:
            return reduction
    return 1
