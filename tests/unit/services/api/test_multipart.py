from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.errors import MalformedMultipart
from services.api.multipart import SingleFileBody

BOUNDARY = "x" * 20
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY}"
DISPOSITION = 'Content-Disposition: form-data; name="file"; filename="a.png"'


def part(content: bytes, *headers: str) -> bytes:
    return b"--" + BOUNDARY.encode() + b"\r\n" + "\r\n".join([*headers, "", ""]).encode() + content + b"\r\n"


def body(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--" + BOUNDARY.encode() + b"--\r\n"


def parse(document: bytes, cuts: list[int] | None = None) -> tuple[bytes, SingleFileBody]:
    reader = SingleFileBody(CONTENT_TYPE)
    edges = [0, *sorted(cut % (len(document) + 1) for cut in cuts or []), len(document)]
    # Joined only at the end: pieces must stay what they are while others come.
    pieces = [piece for start, end in pairwise(edges) for piece in reader.feed(document[start:end])]
    reader.close()
    return b"".join(pieces), reader


@given(content=st.binary(max_size=300), cuts=st.lists(st.integers(min_value=0), max_size=12))
def test_payload_is_the_same_however_the_body_is_cut(content: bytes, cuts: list[int]) -> None:
    assert parse(body(part(content, DISPOSITION)), cuts)[0] == content


@pytest.mark.parametrize("content", [b"\r\n--" + b"x" * 19, b"--" + b"x" * 20, b"\r\n\r\n", b"-" * 40])
def test_payload_that_resembles_a_boundary_arrives_whole(content: bytes) -> None:
    assert parse(body(part(content, DISPOSITION)), list(range(200)))[0] == content


def test_type_of_the_part_is_told() -> None:
    assert parse(body(part(b"film", DISPOSITION, "Content-Type: image/png")))[1].part_content_type == "image/png"


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(body(), id="no part"),
        pytest.param(body(part(b"a", DISPOSITION), part(b"b", DISPOSITION)), id="two files"),
        pytest.param(body(part(b"a", 'Content-Disposition: form-data; name="x"')), id="another name"),
        pytest.param(body(part(b"a", DISPOSITION), part(b"1", 'Content-Disposition: form-data; name="x"')), id="field"),
        pytest.param(body(part(b"a")), id="no name"),
        pytest.param(part(b"a", DISPOSITION), id="no end"),
        pytest.param(body(part(b"a", DISPOSITION))[:-4], id="half an end"),
        pytest.param(b"this is no multipart body", id="something else"),
        pytest.param(body(part(b"a", DISPOSITION, *[f"X-{n}: y" for n in range(20)])), id="many headers"),
        pytest.param(body(part(b"a", DISPOSITION, "X: " + "y" * 5000)), id="a huge header"),
    ],
)
def test_anything_but_one_whole_file_is_refused(document: bytes) -> None:
    with pytest.raises(MalformedMultipart):
        parse(document)


@pytest.mark.parametrize("content_type", ["multipart/form-data", f"multipart/form-data; boundary={'b' * 4000}"])
def test_missing_or_monstrous_boundary_is_refused(content_type: str) -> None:
    with pytest.raises(MalformedMultipart):
        SingleFileBody(content_type)
