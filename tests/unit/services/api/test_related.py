"""Every dialect of a STOW-RS body that a client is known to send, however the network cuts it."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.errors import ApiError, MalformedMultipart, NoInstances, TooManyParts, UnsupportedMediaType
from services.api.related import Event, PartBegins, PartEnds, StoreBody, store_body

BOUNDARY = "x" * 20
CONTENT_TYPE = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
DICOM_PART = "Content-Type: application/dicom"
FILM = b"\0" * 128 + b"DICM\r\n--\r\n-"

Parts = list[tuple[str, bytes]]


def part(content: bytes, *headers: str, boundary: str = BOUNDARY) -> bytes:
    return b"--" + boundary.encode() + b"\r\n" + "\r\n".join([*headers, "", ""]).encode() + content + b"\r\n"


def body(*contents: bytes, boundary: str = BOUNDARY) -> bytes:
    parts = b"".join(part(content, DICOM_PART, boundary=boundary) for content in contents)
    return parts + b"--" + boundary.encode() + b"--\r\n"


def pieces(document: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(document) + 1) for cut in cuts), len(document)]
    return [document[start:end] for start, end in pairwise(edges)]


def collect(reader: StoreBody, chunks: list[bytes]) -> Parts:
    """Return types and contents of the parts, checking the order of events."""
    parts: Parts = []
    held: list[memoryview] | None = None
    content_type = ""
    events = (event for chunk in [*chunks, None] for event in (reader.close() if chunk is None else reader.feed(chunk)))
    for event in events:
        if isinstance(event, PartBegins):
            assert held is None, "parts do not overlap"
            held, content_type = [], event.content_type
        elif isinstance(event, PartEnds):
            assert held is not None
            # Joined only here: pieces must stay what they are while others come.
            parts.append((content_type, b"".join(held)))
            held = None
        else:
            assert held is not None, "bytes belong to a part"
            held.append(event)
    assert held is None, "the last part ended"
    return parts


def note(reader: StoreBody, chunk: bytes, seen: list[Event]) -> None:
    """Put into ``seen`` what a chunk completes, also where it ends in an error."""
    for event in reader.feed(chunk):
        seen.append(event)  # noqa: PERF402 - a list of the whole would not be there after an error


def parse(document: bytes, cuts: list[int] | None = None, *, content_type: str = CONTENT_TYPE) -> Parts:
    return collect(store_body(content_type, most_parts=10), pieces(document, cuts or []))


@given(
    contents=st.lists(st.binary(max_size=200), min_size=1, max_size=4),
    preamble=st.sampled_from([b"", b"\r\n", b"\r\n\r\n", b"read me\r\n", b"--no\r\n\r\n--" + b"x" * 21 + b"\r\n"]),
    epilogue=st.sampled_from([b"", b"\r\n", b"\r\nthe end", b"\r\n--xxxx"]),
    cuts=st.lists(st.integers(min_value=0), max_size=12),
)
def test_parts_are_the_same_however_the_body_is_cut(
    contents: list[bytes], preamble: bytes, epilogue: bytes, cuts: list[int]
) -> None:
    document = preamble + body(*contents).removesuffix(b"\r\n") + epilogue
    assert parse(document, cuts) == [("application/dicom", content) for content in contents]


# What a body is made of, and what it could be mistaken for.
_TOKENS = (
    *(b"\r\n", b"\r", b"\n", b"--", b"-", b" ", b"\t", b"a", b": ", b"\r\n\r\n", DICOM_PART.encode()),
    *(b"--" + BOUNDARY.encode(), b"\r\n--" + BOUNDARY.encode() + b"\r\n", b"\r\n--" + BOUNDARY.encode() + b"--"),
)


@given(tokens=st.lists(st.sampled_from(_TOKENS), max_size=14), cuts=st.lists(st.integers(min_value=0), max_size=3))
def test_whatever_comes_is_read_alike_however_it_is_cut(tokens: list[bytes], cuts: list[int]) -> None:
    document = b"--" + BOUNDARY.encode() + b"\r\n" + b"".join(tokens)
    everywhere = list(range(len(document)))
    assert parse_or_fail(document, []) == parse_or_fail(document, cuts) == parse_or_fail(document, everywhere)


def parse_or_fail(document: bytes, cuts: list[int]) -> Parts | str:
    try:
        return parse(document, cuts)
    except ApiError as error:
        return error.code


def test_body_is_understood_when_it_is_cut_at_any_one_place() -> None:
    document = b"words\r\n" + body(FILM, b"\r\n--" + b"x" * 19, b"") + b"words"
    expected = parse(document)
    assert len(expected) == 3
    for cut in range(len(document)):
        assert parse(document, [cut]) == expected


def test_body_is_understood_byte_by_byte() -> None:
    document = b"\r\n" + body(FILM, FILM)
    assert parse(document, list(range(len(document)))) == [("application/dicom", FILM)] * 2


@pytest.mark.parametrize(
    "content_type",
    [
        f"multipart/related; type=application/dicom; boundary={BOUNDARY}",
        f'multipart/related; type="application/dicom"; boundary="{BOUNDARY}"',
        f'Multipart/Related; boundary="{BOUNDARY}"; Type="Application/DICOM"',
        f"multipart/related; boundary={BOUNDARY}",
        f'multipart/related;type="application/dicom";boundary={BOUNDARY};start="<1>"',
    ],
)
def test_every_form_of_the_content_type_is_read(content_type: str) -> None:
    assert parse(body(FILM), content_type=content_type) == [("application/dicom", FILM)]


@pytest.mark.parametrize(
    "boundary", ["0123456789-" * 6 + "0123456", "gc0p4Jq0M2Yt08jU534c0p", "a'()+_,-./:=?b", "with space"]
)
@pytest.mark.parametrize("form", ["{}", '"{}"'])
def test_boundaries_of_real_clients_are_taken(boundary: str, form: str) -> None:
    """73 characters are Orthanc's; RFC 2046 allows 70."""
    if form == "{}" and re.search(r"[ ,:=?()/]", boundary):
        form = '"{}"'  # these must be quoted
    content_type = f'multipart/related; type="application/dicom"; boundary={form.format(boundary)}'
    document = body(FILM, boundary=boundary)
    assert parse(document, list(range(len(document))), content_type=content_type) == [("application/dicom", FILM)]


def test_length_and_order_of_part_headers_do_not_matter() -> None:
    headers = ["Content-Length: 3", "MIME-Version: 1.0", "content-type: application/dicom; transfer-syntax=*", "X-A:"]
    document = part(b"abc", *headers) + b"--" + BOUNDARY.encode() + b"--"
    assert parse(document) == [("application/dicom; transfer-syntax=*", b"abc")]


def test_part_without_headers_has_no_type() -> None:
    assert parse(part(b"abc") + body()) == [("", b"abc")]


def test_instance_as_the_whole_body_is_one_part() -> None:
    assert parse(FILM, [3, 50], content_type="application/dicom") == [("application/dicom", FILM)]


def test_parts_before_a_fault_are_whole() -> None:
    reader = store_body(CONTENT_TYPE, most_parts=10)
    seen: list[Event] = []
    with pytest.raises(MalformedMultipart):
        note(reader, part(FILM, DICOM_PART) + part(b"", "no header at all"), seen)
    assert isinstance(seen[0], PartBegins)
    assert b"".join(event for event in seen if isinstance(event, memoryview)) == FILM
    assert isinstance(seen[-1], PartEnds)


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(body(FILM).removesuffix(b"--\r\n"), id="no closing delimiter"),
        pytest.param(part(FILM, DICOM_PART), id="ends in a part"),
        pytest.param(b"not multipart at all", id="text"),
        pytest.param(b"a" * 100_000, id="endless preamble"),
        pytest.param(part(FILM, *[f"X-{n}: y" for n in range(17)]), id="too many headers"),
        pytest.param(part(FILM, "X: " + "y" * 5000), id="header too long"),
        pytest.param(part(FILM, "X" * 5000), id="header without end"),
    ],
)
def test_body_that_is_no_multipart_is_refused(document: bytes) -> None:
    for cuts in ([], list(range(0, len(document), 97))):
        with pytest.raises(MalformedMultipart):
            parse(document, cuts)


@pytest.mark.parametrize("document", [b"", b"\r\n", b"--" + BOUNDARY.encode() + b"--", b"\r\n" + body()])
def test_body_without_a_part_holds_no_instance(document: bytes) -> None:
    with pytest.raises(NoInstances):
        parse(document)


def test_empty_body_of_one_instance_holds_none() -> None:
    with pytest.raises(NoInstances):
        parse(b"", content_type="application/dicom")


def test_one_part_too_many_is_refused_after_the_others() -> None:
    reader = store_body(CONTENT_TYPE, most_parts=2)
    seen: list[Event] = []
    with pytest.raises(TooManyParts):
        note(reader, body(b"a", b"b", b"c"), seen)
    assert seen.count(PartEnds()) == 2


@pytest.mark.parametrize(
    "content_type",
    ["", "image/png", "multipart/form-data; boundary=b", 'multipart/related; type="image/png"; boundary=b', "dicom"],
)
def test_other_media_types_are_refused(content_type: str) -> None:
    with pytest.raises(UnsupportedMediaType):
        store_body(content_type, most_parts=1)


@pytest.mark.parametrize("parameters", ["", "; boundary=", '; boundary=""', "; boundary=" + "b" * 257])
def test_boundary_must_be_there_and_of_a_sane_length(parameters: str) -> None:
    with pytest.raises(MalformedMultipart):
        store_body(f'multipart/related; type="application/dicom"{parameters}', most_parts=1)
