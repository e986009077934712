"""The form of a key, where a request carries it, and the digest by which it is known. No key is kept or logged."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from typing import Final

_KEY: Final = re.compile(r"cxr_([0-9a-z]{8,16})_([A-Za-z0-9_-]{43,86})")
_ID_BYTES: Final = 6
_SECRET_BYTES: Final = 32  # 256 bits (RELIABILITY.md §4)
# No secret has this digest that anybody could find.
_NOBODY: Final = "0" * 64


@dataclass(frozen=True, kw_only=True)
class Credential:
    """A key as a caller sends it: a public id and a secret, which no ``repr`` shows."""

    id: str
    secret: str = field(repr=False)

    @property
    def sha256(self) -> str:
        """The digest by which a keys file knows the secret."""
        return digest_of(self.secret)

    def is_of(self, sha256: str | None) -> bool:
        """Return whether the secret has this digest; ``None`` takes as long and is never true.

        So that time does not tell known ids from unknown ones.
        """
        return hmac.compare_digest(self.sha256, sha256 or _NOBODY) and sha256 is not None

    def __str__(self) -> str:
        return f"cxr_{self.id}_{self.secret}"


def new_credential() -> Credential:
    """Return a key that nobody had before."""
    return Credential(id=secrets.token_hex(_ID_BYTES), secret=new_secret())


def new_secret() -> str:
    """Return 256 random bits, in letters that need no quoting."""
    return secrets.token_urlsafe(_SECRET_BYTES)


def digest_of(secret: str) -> str:
    """Return the sha256 of a secret. Of 256 random bits a plain digest can be kept: there is nothing to guess."""
    return hashlib.sha256(secret.encode()).hexdigest()


def read_credential(text: str) -> Credential | None:
    """Return the key that a text is, or ``None``."""
    match = _KEY.fullmatch(text)
    return None if match is None else Credential(id=match[1], secret=match[2])


def is_password(authorization: str) -> bool:
    """Return whether an ``Authorization`` header is Basic: what a browser was told once, it sends by itself."""
    return authorization.strip().partition(" ")[0].lower() == "basic"


def credential_in(authorization: str) -> Credential | None:
    """Return the key in an ``Authorization`` header: Bearer, or the password of Basic (RFC 9110 §11.4)."""
    scheme, _, value = authorization.strip().partition(" ")
    if scheme.lower() == "bearer":
        return read_credential(value.strip())
    if scheme.lower() != "basic":
        return None
    try:
        return read_credential(base64.b64decode(value.strip(), validate=True).decode().partition(":")[2])
    except (binascii.Error, ValueError):
        return None
