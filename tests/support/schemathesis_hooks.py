"""Bodies for schemathesis, which knows no images: whole films, cut ones, and bytes that are none.

And an end for streams of events, of which it would otherwise read each for ten seconds.
"""

from collections.abc import Mapping
from typing import Any

import schemathesis
from hypothesis import strategies as st

from tests.support.films import CT_STORAGE, dicom_film, jpeg_film, png_film

_PNG = [png_film(seed=seed, rows=96, columns=96) for seed in range(3)]
_JPEG = [jpeg_film(seed=seed, rows=96, columns=96) for seed in range(3)]
_DICOM = [dicom_film(seed=seed, rows=96, columns=96) for seed in range(3)] + [dicom_film(SOPClassUID=CT_STORAGE)]


def _bodies(films: list[bytes]) -> st.SearchStrategy[bytes]:
    whole = st.sampled_from(films)
    cut = st.builds(lambda film, end: film[: end % len(film)], whole, st.integers(min_value=0))
    return st.one_of(whole, cut, st.binary(max_size=200))


schemathesis.openapi.media_type("image/png", _bodies(_PNG))
schemathesis.openapi.media_type("image/jpeg", _bodies(_JPEG))
schemathesis.openapi.media_type("application/dicom", _bodies(_DICOM))
# Without a boundary, which the type would have to name: what is in the parts is for other tests.
schemathesis.openapi.media_type("multipart/related", _bodies(_DICOM))
schemathesis.openapi.media_type("application/octet-stream", _bodies(_PNG + _JPEG + _DICOM))


@schemathesis.hook
def before_call(_: schemathesis.HookContext, case: schemathesis.Case, __: dict[str, Any]) -> None:
    """End at once what may last for hours; a wrong length is asked for as it is."""
    query = case.query if isinstance(case.query, Mapping) else {}
    if case.operation.path == "/v1/events" and str(query.get("seconds", 0)).isdecimal():
        case.query = {**query, "seconds": 0}
