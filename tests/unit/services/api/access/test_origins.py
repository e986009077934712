"""Which requests a browser sends for our own page."""

from __future__ import annotations

import pytest
from fastapi import Request

from services.api.access.origins import check_origin
from services.api.refusals import ForeignOrigin


def request(**headers: str) -> Request:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "headers": pairs})


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://127.0.0.1:8080", "host": "127.0.0.1:8080"},
        {"origin": "https://triage.example", "host": "triage.example"},
        {"origin": "https://Triage.example", "host": "triage.EXAMPLE"},
        {"origin": "http://[::1]:8080", "host": "[::1]:8080", "sec_fetch_site": "same-origin"},
        # Behind a proxy that does not pass Host on.
        {"origin": "https://triage.example", "host": "gateway:8080", "sec_fetch_site": "same-origin"},
    ],
)
def test_our_own_page_may(headers: dict[str, str]) -> None:
    check_origin(request(**headers))


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "triage.example"},
        {"origin": "https://triage.example"},
        {"origin": "https://triage.example", "host": ""},
        {"origin": "null", "host": "triage.example"},
        {"origin": "null", "host": "null"},
        {"origin": "https://evil.example", "host": "triage.example"},
        {"origin": "https://triage.example.evil", "host": "triage.example"},
        {"origin": "https://triage.example:8443", "host": "triage.example"},
        {"origin": "https://user@triage.example", "host": "triage.example"},
        {"origin": "triage.example", "host": "triage.example"},
        {"origin": "http://[::1", "host": "[::1"},
        {"origin": "https://triage.example", "host": "triage.example", "sec_fetch_site": "cross-site"},
        {"origin": "https://triage.example", "host": "triage.example", "sec_fetch_site": "same-site"},
    ],
)
def test_nobody_else_may(headers: dict[str, str]) -> None:
    with pytest.raises(ForeignOrigin):
        check_origin(request(**headers))


def test_two_origins_are_none() -> None:
    headers = [(b"host", b"a"), (b"origin", b"http://a"), (b"origin", b"http://a")]
    with pytest.raises(ForeignOrigin):
        check_origin(Request({"type": "http", "headers": headers}))
