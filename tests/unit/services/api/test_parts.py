"""The parts of a STOW-RS request on their way into a real spool, from a request made by hand."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from fastapi import Request
from starlette.types import Message

from services.api.errors import (
    MalformedMultipart,
    PayloadTooLarge,
    UnsupportedEncoding,
    UploadAborted,
    UploadsBusy,
    UploadTimeout,
)
from services.api.parts import FailedPart, ReceivedPart, WholePart
from services.api.uploads import Uploads
from services.jobs.settings import ApiSettings
from services.jobs.spool import Spool
from tests.support.films import dicom_film, png_film

MEBIBYTE = 1024**2
CONTENT_TYPE = b'multipart/related; type="application/dicom"; boundary=b'
FILM = dicom_film(seed=1)
LARGE = dicom_film(seed=2) + bytes(2 * MEBIBYTE)  # trailing bytes are no element, and never looked at


def part(content: bytes, media_type: bytes = b"application/dicom") -> bytes:
    return b"--b\r\nContent-Type: " + media_type + b"\r\n\r\n" + content + b"\r\n"


def request_of(*chunks: bytes | None, headers: Sequence[tuple[bytes, bytes]] = ()) -> Request:
    """Return a request whose body comes in these chunks; ``None`` hangs up, and without an end nothing comes."""
    messages: list[Message] = [
        {"type": "http.disconnect"} if chunk is None else {"type": "http.request", "body": chunk, "more_body": True}
        for chunk in chunks
    ]
    if chunks and chunks[-1] == b"":
        messages[-1]["more_body"] = False
    waiting = iter(messages)

    async def receive() -> Message:
        message = next(waiting, None)
        if message is None:
            await asyncio.Event().wait()
        assert message is not None
        return message

    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", CONTENT_TYPE), *headers]}
    return Request(scope, receive)


def settings(**values: object) -> ApiSettings:
    return ApiSettings.model_validate({"max_payload_bytes": 2 * MEBIBYTE} | values)


def files(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


async def receive(uploads: Uploads, request: Request, received: list[ReceivedPart] | None = None) -> list[ReceivedPart]:
    """Return the parts; ``received`` has them also where the request ends in an error."""
    received = [] if received is None else received
    async with uploads.receive_each(request) as parts:
        async for one in parts:
            received.append(one)
    return received


def errors_of(parts: list[ReceivedPart]) -> list[str | None]:
    return [one.error.code if isinstance(one, FailedPart) else None for one in parts]


async def test_each_part_is_read_for_itself(spool: Spool, tmp_path: Path) -> None:
    other = dicom_film(seed=2)
    document = part(FILM) + part(other) + b"--b--"
    parts = await receive(Uploads(spool, settings()), request_of(document[:1000], document[1000:], b""))
    headers = [one.header for one in parts if isinstance(one, WholePart)]
    assert len({header.sop_instance_uid for header in headers}) == 2
    assert [one.upload.size_bytes for one in parts if isinstance(one, WholePart)] == [len(FILM), len(other)]
    assert files(tmp_path) == []


async def test_part_that_nobody_keeps_is_gone_when_the_next_comes(spool: Spool, tmp_path: Path) -> None:
    large = dicom_film(seed=3, rows=1200, columns=1200)
    async with Uploads(spool, settings(max_payload_bytes=8 * MEBIBYTE)).receive_each(
        request_of(part(large) + part(large) + b"--b--", b"")
    ) as parts:
        async for _ in parts:
            assert len(files(tmp_path)) == 1
    assert files(tmp_path) == []
    assert spool.usage.payload_bytes == 0


@pytest.mark.parametrize(
    ("content", "media_type", "code"),
    [
        pytest.param(bytes(3 * MEBIBYTE), b"application/dicom", "payload_too_large", id="too large"),
        pytest.param(b"garbage", b"application/dicom", "unsupported_format", id="garbage"),
        pytest.param(b"", b"application/dicom", "unsupported_format", id="empty"),
        pytest.param(png_film(seed=1), b"application/dicom", "unsupported_format", id="another format"),
        pytest.param(FILM, b"image/png", "unsupported_media_type", id="another type"),
        pytest.param(FILM[:200], b"application/dicom", "malformed_header", id="cut"),
    ],
)
async def test_part_that_cannot_be_taken_fails_alone(
    spool: Spool, tmp_path: Path, content: bytes, media_type: bytes, code: str
) -> None:
    document = part(FILM) + part(content, media_type) + part(FILM) + b"--b--"
    chunks = [document[start : start + 65536] for start in range(0, len(document), 65536)]
    assert errors_of(await receive(Uploads(spool, settings()), request_of(*chunks, b""))) == [None, code, None]
    assert files(tmp_path) == []
    assert spool.usage.payload_bytes == 0


@pytest.mark.parametrize("media_type", [b"application/dicom; transfer-syntax=*", b"application/octet-stream", b""])
async def test_type_of_a_part_is_dicom_with_parameters_or_none(spool: Spool, media_type: bytes) -> None:
    parts = await receive(Uploads(spool, settings()), request_of(part(FILM, media_type) + b"--b--", b""))
    assert errors_of(parts) == [None]


async def test_part_without_room_fails_and_those_with_room_do_not(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", quota_bytes=MEBIBYTE, minimum_free_ratio=0.0)
    document = part(bytes(1024 * 1024 + 65536)) + part(FILM) + b"--b--"
    parts = await receive(Uploads(spool, settings()), request_of(document, b""))
    assert errors_of(parts) == ["spool_full", None]
    assert spool.usage.payload_bytes == 0


@pytest.mark.parametrize(
    ("ending", "error"),
    [
        pytest.param((None,), UploadAborted, id="hung up"),
        pytest.param((b"",), MalformedMultipart, id="ended"),
        pytest.param((), UploadTimeout, id="silent"),
        pytest.param((bytes(MEBIBYTE),) * 6, PayloadTooLarge, id="endless"),
    ],
)
async def test_request_that_breaks_off_yields_what_was_whole_and_leaves_nothing(
    spool: Spool, tmp_path: Path, ending: tuple[bytes | None, ...], error: type[Exception]
) -> None:
    limits = settings(max_store_bytes=4 * MEBIBYTE, upload_idle_seconds=0.2)
    uploads = Uploads(spool, limits)
    request = request_of(part(FILM) + part(LARGE)[: 1536 * 1024], *ending)
    seen: list[ReceivedPart] = []
    with pytest.raises(error):
        await receive(uploads, request, seen)
    assert errors_of(seen) == [None]
    assert files(tmp_path) == []
    assert spool.usage.payload_bytes == 0
    assert uploads.in_flight == 0


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ([(b"content-length", b"5000000")], PayloadTooLarge),
        ([(b"content-encoding", b"gzip")], UnsupportedEncoding),
    ],
)
async def test_request_that_cannot_be_taken_is_not_read(
    spool: Spool, headers: list[tuple[bytes, bytes]], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await receive(Uploads(spool, settings(max_store_bytes=4 * MEBIBYTE)), request_of(headers=headers))


async def test_request_counts_as_one_upload(spool: Spool) -> None:
    uploads = Uploads(spool, settings(max_uploads=1))
    document = part(FILM) + b"--b--"
    async with uploads.receive_each(request_of(document, b"")):
        assert uploads.in_flight == 1
        with pytest.raises(UploadsBusy):
            await receive(uploads, request_of(document, b""))
    assert len(await receive(uploads, request_of(document, b""))) == 1
