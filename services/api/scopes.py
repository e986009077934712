"""Who may call what: roles, and the declaration of them that every route carries.

Deny by default: a route that declares nothing is refused to everybody, and a test finds it (RELIABILITY.md §4).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, TypeVar

from services.api.refusals import SiteNotAllowed

_Endpoint = TypeVar("_Endpoint", bound=Callable[..., Any])

DEFAULT_SITE: Final = "default"
SITE_PATTERN: Final = "^[a-z0-9][a-z0-9._-]{0,31}$"
_REQUIRED: Final = "required_roles"


class Role(StrEnum):
    """What a key may do; a key has one or more, and ``admin`` includes all others."""

    SUBMIT = "submit"  # send films, ask what became of them by their ids, and take them back
    READ = "read"  # worklist, records, pictures, models
    ADMIN = "admin"  # score again; everything else too
    METRICS = "metrics"  # scrape


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who calls. ``sites`` are those that the key is bound to; ``None`` is every site.

    ``key_id`` is ``None`` where the gateway is open, on loopback; such a caller has every role. ``label`` is the key's
    name for people; ``until`` when this caller has to show a key again.
    """

    key_id: str | None
    roles: frozenset[Role]
    sites: frozenset[str] | None = None
    label: str | None = None
    until: datetime | None = None

    def may(self, *roles: Role) -> bool:
        """Return whether this caller has one of the roles."""
        return Role.ADMIN in self.roles or not self.roles.isdisjoint(roles)

    def sees(self, site: str) -> bool:
        """Return whether films of this site exist for this caller."""
        return self.sites is None or site in self.sites

    def site_for(self, named: str | None) -> str:
        """Return the site that a request is about: the one it names, else the caller's only one, else ``default``.

        Raises
        ------
        SiteNotAllowed
            If this caller may not know of it.
        """
        only = next(iter(self.sites)) if self.sites is not None and len(self.sites) == 1 else DEFAULT_SITE
        site = named or only
        if not self.sees(site):
            raise SiteNotAllowed("This key is not for that site. Name one with `site` that it is for.")
        return site

    def sites_for(self, named: str | None) -> tuple[str, ...] | None:
        """Return the sites that a list is about: the one it names, else all that the caller sees; ``None`` is all.

        Raises
        ------
        SiteNotAllowed
            If the caller may not know of the named one.
        """
        if named is not None:
            return (self.site_for(named),)
        return None if self.sites is None else tuple(sorted(self.sites))


ANYBODY: Final = Caller(key_id=None, roles=frozenset(Role))


def needs(*roles: Role) -> Callable[[_Endpoint], _Endpoint]:
    """Declare that a route is for callers with one of these roles. Goes below the route's own decorator."""

    def declare(endpoint: _Endpoint) -> _Endpoint:
        setattr(endpoint, _REQUIRED, frozenset(roles))
        return endpoint

    return declare


def open_to_all(endpoint: _Endpoint) -> _Endpoint:
    """Declare that a route needs no key: probes, and the page's own files, which hold no data."""
    setattr(endpoint, _REQUIRED, frozenset())
    return endpoint


def required_roles(endpoint: Callable[..., Any]) -> frozenset[Role] | None:
    """Return the roles of which one suffices, nothing for an open route, ``None`` where nothing was declared."""
    declared: frozenset[Role] | None = getattr(endpoint, _REQUIRED, None)
    return declared
