"""Every route by every kind of caller: the requests, and what each of them has to be answered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import httpx

from services.api.access.keys_file import revoke_key
from services.api.access.sessions import COOKIE
from services.api.scopes import Role
from tests.support.access import bearer, id_of, make_key, with_wrong_secret
from tests.support.films import png_film

ELSEWHERE: Final = "elsewhere"
SESSION: Final = "/v1/session"
EVENTS: Final = "/v1/events"
POLICY: Final = "/v1/policies/{site}"
# The contract, in words of its own: a route that is not here, or that declares something else, is a miss.
AGREED: Final[Mapping[tuple[str, str], frozenset[Role]]] = {
    ("get", "/health/live"): frozenset(),
    ("get", "/health/ready"): frozenset(),
    ("get", "/metrics"): frozenset({Role.METRICS}),
    ("post", SESSION): frozenset(),
    ("get", SESSION): frozenset(Role),
    ("delete", SESSION): frozenset(Role),
    ("post", "/v1/instances"): frozenset({Role.SUBMIT}),
    ("post", "/dicom-web/studies"): frozenset({Role.SUBMIT}),
    ("post", "/dicom-web/studies/{study_uid}"): frozenset({Role.SUBMIT}),
    ("get", "/v1/instances/{instance_id}"): frozenset({Role.SUBMIT, Role.READ}),
    ("delete", "/v1/instances/{instance_id}"): frozenset({Role.SUBMIT}),
    ("get", "/v1/instances/{instance_id}/preview.png"): frozenset({Role.READ}),
    ("get", "/v1/instances/{instance_id}/heatmap.png"): frozenset({Role.READ}),
    ("get", "/v1/instances/{instance_id}/report.dcm"): frozenset({Role.READ}),
    ("get", "/v1/instances/{instance_id}/overlay.dcm"): frozenset({Role.READ}),
    ("get", "/v1/instances/{instance_id}/decisions"): frozenset({Role.READ}),
    ("post", "/v1/instances/{instance_id}/rescore"): frozenset({Role.ADMIN}),
    ("get", "/v1/studies"): frozenset({Role.READ}),
    ("get", "/v1/studies/{study_uid}"): frozenset({Role.READ}),
    ("post", "/v1/studies/{study_uid}/assessments"): frozenset({Role.READ}),
    ("get", "/v1/studies/{study_uid}/assessments"): frozenset({Role.READ}),
    ("get", "/v1/performance"): frozenset({Role.READ}),
    ("get", EVENTS): frozenset({Role.READ}),
    ("get", "/v1/policies"): frozenset({Role.READ}),
    ("get", POLICY): frozenset({Role.READ}),
    ("put", POLICY): frozenset({Role.ADMIN}),
    ("post", f"{POLICY}/preview"): frozenset({Role.READ}),
    ("get", "/v1/models"): frozenset({Role.READ}),
    ("get", "/v1/models/{digest}/operating-points"): frozenset({Role.READ}),
}
_OBJECTS: Final = ("{instance_id}", "{study_uid}")
# Names a study of which films come, at the caller's own site: there is nothing of others to be found by it.
_STORE: Final = "/dicom-web/studies/{study_uid}"


class Kind(StrEnum):
    """How a caller shows who it is."""

    KEY = "key"  # a key that is valid
    NOTHING = "nothing"  # no key, or none that opens
    SESSION = "session"  # the page's cookie


@dataclass(frozen=True, kw_only=True)
class MatrixCaller:
    """One column of the matrix. ``key`` is what it would sign in with; ``origin`` is ``None`` where it says none."""

    name: str
    kind: Kind
    headers: Mapping[str, str] = field(default_factory=dict)
    key: str = ""
    roles: frozenset[Role] = frozenset()
    is_of_other_site: bool = False
    origin: str | None = None
    is_foreign: bool = False

    def may(self, wanted: frozenset[Role]) -> bool:
        return Role.ADMIN in self.roles or bool(wanted & self.roles)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One request. ``expected`` is a status, or ``None`` for whatever lies behind the door."""

    caller: MatrixCaller
    method: str
    path: str
    declared: frozenset[int]
    expected: int | None

    def fault(self, status: int) -> str | None:
        """Return what is wrong with this answer, if anything."""
        name = f"{self.caller.name}: {self.method.upper()} {self.path}"
        if self.expected is not None and status != self.expected:
            return f"{name} is answered {status}, not {self.expected}"
        if self.expected is None and status in (401, 403):
            return f"{name} is refused with {status}"
        return None


def cells(document: dict[str, Any], callers: list[MatrixCaller]) -> Iterator[Cell]:
    """Yield the matrix of an OpenAPI document."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            wanted = frozenset(Role(role) for role in operation.get("x-required-roles", ()))
            declared = frozenset(int(status) for status in operation["responses"])
            for caller in callers:
                expected = _expected(caller, method, path, wanted)
                yield Cell(caller=caller, method=method, path=path, declared=declared, expected=expected)


def _expected(caller: MatrixCaller, method: str, path: str, wanted: frozenset[Role]) -> int | None:
    is_write_by_browser = method != "get" and caller.kind is Kind.SESSION
    if (method, path) == ("post", SESSION):
        if caller.is_foreign:
            return 403
        return 401 if caller.kind is Kind.NOTHING else 200
    if not wanted:
        return None
    if caller.kind is Kind.NOTHING:
        return 401
    if (is_write_by_browser and caller.is_foreign) or not caller.may(wanted):
        return 403
    if caller.is_of_other_site and path.startswith(POLICY):
        return 403  # sites are named by callers, as with `site=`: nothing is found out by the answer
    is_looked_up = path != _STORE and any(part in path for part in _OBJECTS)
    return 404 if caller.is_of_other_site and is_looked_up else None


def disagreements(document: dict[str, Any]) -> list[str]:
    """Return the routes that are not declared as agreed."""
    found = {
        (method, path): frozenset(Role(role) for role in operation.get("x-required-roles", ()))
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }
    return [
        f"{method} {path}"
        for method, path in {**found, **AGREED}
        if found.get((method, path)) != AGREED.get((method, path))
    ]


class Callers:
    """Makes one caller of each kind; those by cookie are made anew for each request, because one of them signs out."""

    def __init__(self, keys_file: Path) -> None:
        self._file = keys_file
        self.admin = make_key(keys_file, Role.ADMIN)
        self.elsewhere = make_key(keys_file, *Role, sites=[ELSEWHERE])
        self.fading = make_key(keys_file, Role.ADMIN)  # revoked while its session is open
        self._keys = {role: make_key(keys_file, role) for role in Role if role is not Role.ADMIN}
        self._expired = make_key(keys_file, Role.ADMIN, expires_days=1, age_days=2)
        self._revoked = make_key(keys_file, Role.ADMIN)
        revoke_key(keys_file, id_of(self._revoked))

    def fade(self) -> None:
        """Revoke the key of a session that is open."""
        revoke_key(self._file, id_of(self.fading))

    def all(self, url: str, faded_cookie: str) -> list[MatrixCaller]:
        """Return the columns of the matrix for the gateway at ``url``."""
        refused = {"wrong": with_wrong_secret(self.admin), "expired": self._expired, "revoked": self._revoked}
        keys = {**{role.value: key for role, key in self._keys.items()}, "admin": self.admin}
        return [
            MatrixCaller(name="nobody", kind=Kind.NOTHING, origin=url),
            MatrixCaller(name="malformed", kind=Kind.NOTHING, headers={"Authorization": "Basic !!!"}, origin=url),
            *(
                MatrixCaller(name=name, kind=Kind.NOTHING, headers=bearer(key), key=key, origin=url)
                for name, key in refused.items()
            ),
            *(
                MatrixCaller(
                    name=name, kind=Kind.KEY, headers=bearer(key), key=key, roles=frozenset({Role(name)}), origin=url
                )
                for name, key in keys.items()
            ),
            MatrixCaller(
                name="other site",
                kind=Kind.KEY,
                headers=bearer(self.elsewhere),
                key=self.elsewhere,
                roles=frozenset(Role),
                is_of_other_site=True,
                origin=url,
            ),
            self._by_cookie("session", origin=url),
            self._by_cookie("session, foreign origin", origin="https://evil.example", is_foreign=True),
            self._by_cookie("session, no origin", origin=None, is_foreign=True),
            MatrixCaller(
                name="session of a key that was revoked",
                kind=Kind.NOTHING,
                headers={"Cookie": f"{COOKIE}={faded_cookie}"},
                key=self.fading,
                origin=url,
            ),
        ]

    def _by_cookie(self, name: str, *, origin: str | None, is_foreign: bool = False) -> MatrixCaller:
        # Each with a key of its own, because one key signs in so often and no oftener.
        key = make_key(self._file, Role.ADMIN)
        return MatrixCaller(
            name=name, kind=Kind.SESSION, key=key, roles=frozenset(Role), origin=origin, is_foreign=is_foreign
        )


def sign_in(client: httpx.Client, key: str) -> str:
    """Return the cookie of a new session."""
    response = client.post(SESSION, json={"key": key}, headers={"Origin": str(client.base_url).rstrip("/")})
    assert response.status_code == 200, response.text
    token = response.cookies[COOKIE]
    client.cookies.clear()
    return str(token)


def ask(client: httpx.Client, cell: Cell, names: Mapping[str, str]) -> httpx.Response:
    """Send a cell's request; ``names`` fill its path."""
    headers = dict(cell.caller.headers)
    if cell.caller.kind is Kind.SESSION:
        headers["Cookie"] = f"{COOKIE}={sign_in(client, cell.caller.key)}"
    if cell.caller.origin is not None:
        headers["Origin"] = cell.caller.origin
    body: dict[str, Any] = {}
    if (cell.method, cell.path) == ("post", SESSION):
        body["json"] = {"key": cell.caller.key}
    elif (cell.method, cell.path) == ("get", EVENTS):
        body["params"] = {"seconds": 0}  # a stream lasts as long as its session otherwise
    elif cell.method == "post" and cell.path.endswith("/assessments"):
        body["json"] = {"truth": "no_finding", "source": "reader", "verdict": "agree"}
    elif (cell.method, cell.path) == ("post", "/v1/instances"):
        headers["Content-Type"], body["content"] = "image/png", png_film(seed=1)
    response = client.request(cell.method, cell.path.format(**names), headers=headers, **body)
    client.cookies.clear()
    return response
