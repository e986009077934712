"""A word that stands for a patient, put wherever a patient could be, and looked for wherever none may be."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pydicom
import redis

from tests.support.films import JPEG_2000_LOSSLESS, dicom_film, jpeg_film, png_film

WORD: Final = "ZZCANARY"
_NEEDLE: Final = WORD.lower().encode()
_TEXTS: Final = {
    "PatientName": f"{WORD}^Anna",
    "PatientID": WORD,
    "OtherPatientIDs": WORD,
    "AccessionNumber": WORD,
    "InstitutionName": WORD,
    "StationName": WORD,
    "ReferringPhysicianName": WORD,
    "StudyDescription": WORD,
    "StudyID": WORD,
    "ImageComments": WORD,
    "FrameOfReferenceUID": f"1.2.{WORD}",
    "SeriesInstanceUID": WORD,
}


@dataclass(frozen=True, kw_only=True)
class Upload:
    """One request to send a film; every part of it may carry the word."""

    content: bytes
    headers: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)


def has_word(content: bytes) -> bool:
    """Return whether the word is in there, in whatever case, also in base64."""
    encoded = any(base64.b64encode(b"x" * shift + WORD.encode())[4:10] in content for shift in range(3))
    return _NEEDLE in content.lower() or encoded


def marked_dicom(seed: int, **attributes: Any) -> bytes:
    """Return a film whose texts are the word, AE titles and a private tag among them."""
    with pydicom.config.disable_value_validation():
        dataset = pydicom.dcmread(io.BytesIO(dicom_film(seed=seed, **{**_TEXTS, **attributes})))
        dataset.file_meta.SourceApplicationEntityTitle = WORD
        dataset.file_meta.SendingApplicationEntityTitle = WORD
        dataset.private_block(0x0011, WORD, create=True).add_new(0x01, "LO", WORD)
        buffer = io.BytesIO()
        dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def large_marked_dicom(seed: int) -> bytes:
    """Return a film that takes long to decode."""
    return marked_dicom(seed, rows=3000, columns=3000, transfer_syntax=JPEG_2000_LOSSLESS)


def marked_png(seed: int) -> bytes:
    """Return a PNG with the word in a text chunk."""
    text = b"tEXt" + b"Title\0" + WORD.encode()
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    whole, header_end = png_film(seed=seed), 8 + 25
    return whole[:header_end] + chunk + whole[header_end:]


def marked_jpeg(seed: int) -> bytes:
    """Return a JPEG with the word in a comment."""
    whole, comment = jpeg_film(seed=seed), WORD.encode()
    return whole[:2] + b"\xff\xfe" + struct.pack(">H", len(comment) + 2) + comment + whole[2:]


def marked_form(film: bytes, *, part: str = "file", part_type: str = "application/dicom") -> Upload:
    """Return a form with the word in its boundary, in the file's name, and in headers of the part."""
    head = (
        f'--{WORD}\r\nContent-Disposition: form-data; name="{part}"; filename="{WORD}.dcm"\r\n'
        f"Content-Type: {part_type}\r\nX-Patient: {WORD}\r\n\r\n"
    )
    content = head.encode() + film + f"\r\n--{WORD}--\r\n".encode()
    return Upload(content=content, headers={"Content-Type": f"multipart/form-data; boundary={WORD}"})


def accepted_uploads() -> list[Upload]:
    """Return uploads that get an outcome, one way or another."""
    return [
        Upload(content=marked_dicom(1)),
        marked_form(marked_dicom(2)),
        Upload(content=marked_png(3), params={"age": "50", "sex": "F", "view": "PA"}),
        Upload(content=marked_jpeg(4)),
        # Not assessed: each for a value that is the word itself.
        *(
            Upload(content=marked_dicom(10 + number, **{keyword: WORD}))
            for number, keyword in enumerate(
                ("Modality", "BodyPartExamined", "ViewPosition", "PatientOrientation", "PatientSex", "ImageType")
            )
        ),
        # Damaged: the word is where pixels should be.
        Upload(content=marked_dicom(23)[:20_000] + WORD.encode()),
        Upload(content=marked_png(24)[:100] + WORD.encode() * 20),
        Upload(content=marked_dicom(20, PhotometricInterpretation=WORD)),
        Upload(content=marked_dicom(21, frame=WORD.encode() * 100)),
        Upload(content=marked_dicom(22, transfer_syntax=JPEG_2000_LOSSLESS, frame=WORD.encode() * 100)),
    ]


def refused_uploads() -> list[Upload]:
    """Return uploads that are answered 4xx."""
    film = marked_dicom(30)
    return [
        Upload(content=f"{WORD} no film at all {WORD}".encode()),
        Upload(content=film[:128] + b"DICM" + WORD.encode() * 9),
        Upload(content=film, headers={"Content-Type": f"{WORD}/{WORD}"}),
        Upload(content=film, headers={"Content-Type": f"image/png; name={WORD}"}),
        Upload(content=film, headers={"Content-Encoding": WORD}),
        Upload(content=film, headers={"Content-Digest": f"sha-256={WORD}"}),
        Upload(content=marked_dicom(32, SOPInstanceUID=f"1.2.{WORD}")),
        Upload(content=marked_dicom(33, StudyInstanceUID=WORD)),
        marked_form(film, part=WORD),
        marked_form(film, part_type=f"{WORD}/x"),
        *(
            Upload(content=film, params={name: WORD})
            for name in ("priority", "site", "wait", "study_uid", "view", "age", "sex", "patient")
        ),
        Upload(content=film, params={"study_uid": "1.2.3"}),
    ]


def words_in_redis(client: redis.Redis) -> list[str]:
    """Return the keys that are the word or hold it, whatever their type."""
    return [name for name in client.scan_iter(count=1000) if has_word(f"{name} {_value(client, name)}".encode())]


def _value(client: redis.Redis, name: str) -> str:
    kind = str(client.type(name))
    read = {
        "string": lambda: client.get(name),
        "hash": lambda: client.hgetall(name),
        "list": lambda: client.lrange(name, 0, -1),
        "set": lambda: sorted(client.smembers(name)),
        "zset": lambda: client.zrange(name, 0, -1, withscores=True),
        "stream": lambda: (client.xrange(name), client.xinfo_groups(name)),
    }
    return json.dumps(read[kind](), default=str)


def files_with_word(paths: Iterable[Path]) -> Iterator[str]:
    """Yield the names of files whose content has the word."""
    for path in paths:
        if path.is_file() and has_word(path.read_bytes()):
            yield path.name
