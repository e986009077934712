"""Whether a browser sends a request for our own page, or for somebody else's.

A cookie goes along by itself, so a request that changes something and comes by cookie must say that our page made it.
A password that the browser was told goes along by itself, too; programs send one as well, and say nothing of pages.
The scheme is not compared: behind a proxy that ends TLS we do not know the page's. A gateway that is open, on loopback,
is within reach of every page that its user's browser shows; there the name it is asked by counts, too.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from fastapi import Request

from services.api.refusals import ForeignOrigin

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OURS: Final = "same-origin"
_BY_USER: Final = "none"
_REFUSAL_OF_NAME: Final = (
    "This service asks for no keys, and so answers only to 127.0.0.1, localhost and the like. Ask by such a name, or "
    "give it keys (`cxr-triage key new`)."
)
_REFUSAL: Final = "The page of this service has to send this itself: `Origin` must name the host that is asked."


def check_origin(request: Request) -> None:
    """Return if a browser sent this for our own page.

    Raises
    ------
    ForeignOrigin
        If it was for another page, or the request does not say for which. Programs use a key, and need say nothing.
    """
    fetched_from = request.headers.get("sec-fetch-site")
    if fetched_from == _OURS:
        # Said by the browser itself, which lets no page set this header; so a proxy may name us by another host.
        return
    if fetched_from not in (None, _BY_USER):
        raise ForeignOrigin(_REFUSAL)
    origins, hosts = request.headers.getlist("origin"), request.headers.getlist("host")
    if len(origins) != 1 or len(hosts) != 1 or not hosts[0] or _host_of(origins[0]) != hosts[0].lower():
        raise ForeignOrigin(_REFUSAL)


def check_local(request: Request) -> None:
    """Return if a program of this machine asks an open gateway, or a browser for our own page.

    Raises
    ------
    ForeignOrigin
        If a browser sends a change for another page, or asks by a name of the internet's: a page may give its own name
        the address of this machine, and would be same-origin then (DNS rebinding).
    """
    if _is_name_of_internet(request.headers.get("host", "")):
        raise ForeignOrigin(_REFUSAL_OF_NAME)
    check_browser(request)


def check_browser(request: Request) -> None:
    """Return if no browser sends this, or one that only reads, or one for our own page.

    Raises
    ------
    ForeignOrigin
        If a browser sends a change for another page.
    """
    is_browser = "origin" in request.headers or "sec-fetch-site" in request.headers
    if is_browser and request.method not in SAFE_METHODS:
        check_origin(request)


def _is_name_of_internet(host: str) -> bool:
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    name = name.strip("[]").rstrip(".").lower()
    # What ends in a number is an address (no domain of the internet does), `[::ffff:127.0.0.1]` and `127.1` included.
    return "." in name and not name.endswith(".localhost") and not name.rpartition(".")[2].isdecimal()


def _host_of(origin: str) -> str | None:
    """Return ``host:port`` of an origin as a browser would write it into Host; ``None`` for ``null`` and nonsense."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return None
    return parts.netloc.lower() if parts.scheme in ("http", "https") and parts.netloc else None
