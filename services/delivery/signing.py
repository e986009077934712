"""The signature of a webhook, after Standard Webhooks 1.0 (github.com/standard-webhooks/standard-webhooks).

``HMAC-SHA256(key, "<webhook-id>.<webhook-timestamp>.<body>")`` over the raw bytes of the body, in base64 after ``v1,``.
Knows no network and no records.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Final

from pydantic import SecretStr

_PREFIX: Final = "whsec_"
_FEWEST_BYTES: Final = 24  # the specification: "between 24 bytes (192 bits) and 64 bytes (512 bits)"
_MOST_BYTES: Final = 64


def signing_key(secret: SecretStr) -> bytes:
    """Return the key of ``whsec_<base64>``; raise ``ValueError`` where it is none, without quoting it."""
    text = secret.get_secret_value()
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):  # ValueError: not ASCII
        key = b""
    if not text.startswith(_PREFIX) or not _FEWEST_BYTES <= len(key) <= _MOST_BYTES:
        raise ValueError(f"must be {_PREFIX} and {_FEWEST_BYTES} to {_MOST_BYTES} random bytes in base64")
    return key


def signed_headers(key: bytes, *, message_id: str, timestamp_seconds: int, body: bytes) -> dict[str, str]:
    """Return the three headers of one attempt.

    ``message_id`` is the same for each attempt at one message, and is what its receiver tells repeats by;
    ``timestamp_seconds`` since the epoch is the attempt's own, because receivers refuse old ones.
    """
    content = b".".join((message_id.encode("ascii"), str(timestamp_seconds).encode("ascii"), body))
    signature = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode("ascii")
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp_seconds),
        "webhook-signature": f"v1,{signature}",
    }
