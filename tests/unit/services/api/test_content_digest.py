import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.content_digest import expected_sha256
from services.api.errors import MalformedDigest


def member(content: bytes, algorithm: str = "sha-256") -> str:
    return f"{algorithm}=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"


@given(st.binary(max_size=64))
def test_digest_of_the_header_is_the_digest_of_the_content(content: bytes) -> None:
    assert expected_sha256(member(content)) == hashlib.sha256(content).hexdigest()


def test_absent_header_asks_for_no_check() -> None:
    assert expected_sha256(None) is None


def test_other_algorithms_beside_sha256_are_ignored() -> None:
    header = f"sha-512=:AAAA:, {member(b'film')}"
    assert expected_sha256(header) == hashlib.sha256(b"film").hexdigest()


@pytest.mark.parametrize(
    "header",
    ["", "sha-256", "sha-256=abc", "sha-256=:abc", "sha-256=:AAAA:", "sha-512=:AAAA:", "sha-256=:A:", "sha-256=:====:"],
)
def test_header_that_promises_no_checkable_digest_is_refused(header: str) -> None:
    with pytest.raises(MalformedDigest):
        expected_sha256(header)
