"""``Content-Digest`` (RFC 9530): the sha-256 that a caller vouches for."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

from services.api.errors import MalformedDigest

_MEMBER: Final = re.compile(r"\s*([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/]*={0,2}):\s*")
_SHA256_BYTES: Final = 32


def expected_sha256(header: str | None) -> str | None:
    """Return the hex sha-256 of a ``Content-Digest`` header, or ``None`` where the header is absent.

    Other algorithms beside sha-256 are ignored, as RFC 9530 §2 allows; one that comes without it is refused, because
    the caller asked for a check that would not be made.

    Raises
    ------
    MalformedDigest
        If the header is no dictionary of byte sequences (RFC 8941 §3.2, §3.3.5) or holds no sha-256 of 32 bytes.
    """
    if header is None:
        return None
    members: dict[str, str] = {}
    for member in header.split(","):
        match = _MEMBER.fullmatch(member)
        if match is None:
            raise MalformedDigest("Content-Digest must read `sha-256=:<base64>:` (RFC 9530).")
        members[match[1]] = match[2]
    try:
        digest = base64.b64decode(members["sha-256"], validate=True)
    except KeyError as error:
        raise MalformedDigest("Content-Digest names no sha-256, the only algorithm checked here.") from error
    except binascii.Error as error:
        raise MalformedDigest("The sha-256 in Content-Digest is not base64.") from error
    if len(digest) != _SHA256_BYTES:
        raise MalformedDigest("The sha-256 in Content-Digest is not 32 bytes long.")
    return digest.hex()
