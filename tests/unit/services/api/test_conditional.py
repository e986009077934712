"""Which tags If-None-Match names."""

from __future__ import annotations

import pytest
from fastapi import Request

from services.api.conditional import is_known

TAG = 'W/"0123456789abcdef"'


def asked_with(*fields: str) -> Request:
    headers = [(b"if-none-match", field.encode("latin-1")) for field in fields]
    return Request({"type": "http", "method": "GET", "path": "/", "headers": headers})


@pytest.mark.parametrize(
    "fields",
    [
        (TAG,),
        ('"0123456789abcdef"',),
        (f'"other", {TAG}',),
        (f'"other",{TAG},W/"third"',),
        ('"other"', TAG),
        (f'"with, a comma", {TAG}',),
        ("*",),
        ("  * ",),
    ],
)
def test_tag_is_named_alone_in_a_list_weak_or_strong(fields: tuple[str, ...]) -> None:
    assert is_known(TAG, asked_with(*fields))


@pytest.mark.parametrize(
    "fields",
    [
        (),
        ("",),
        ('"0123456789abcdeF"',),
        ("0123456789abcdef",),
        ('W/"0123456789abcdef',),
        ('"x0123456789abcdef"',),
        ('W/"other"', '"third"'),
        ('"a,*,b"',),
        ('"*"',),
        ("W/*",),
        ('"other", *',),
        (",,,",),
        ("\xff\xfe",),
    ],
)
def test_nothing_else_names_it(fields: tuple[str, ...]) -> None:
    assert not is_known(TAG, asked_with(*fields))
