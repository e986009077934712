"""A kept picture is what it was when it was kept, of the film and model that it is asked for, or it is gone."""

from __future__ import annotations

import numpy as np
import pytest

from services.jobs.errors import PictureGone
from services.jobs.pictures import pack_picture, unpack_picture

FILM, OTHER_FILM = "a" * 64, "b" * 64
ARRAY = np.arange(12, dtype=np.uint8).reshape(3, 4)


def test_an_array_comes_back_as_it_was() -> None:
    for array in (ARRAY, ARRAY.astype(np.float32), ARRAY[::-1]):
        loaded = unpack_picture(pack_picture(array, of=FILM), of=FILM)
        assert loaded.dtype == array.dtype
        assert (loaded == array).all()


def test_a_picture_of_something_else_is_gone() -> None:
    with pytest.raises(PictureGone):
        unpack_picture(pack_picture(ARRAY, of=OTHER_FILM), of=FILM)


def test_what_a_power_cut_leaves_is_gone() -> None:
    kept = pack_picture(ARRAY, of=FILM)
    for damaged in (b"", b"\0\0", kept[:-1], bytes(len(kept)), kept[:100] + bytes(len(kept) - 100)):
        with pytest.raises(PictureGone):
            unpack_picture(damaged, of=FILM)
