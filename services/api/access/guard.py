"""The door: every request of every route passes here before anything else is looked at.

Says who calls, by key or by session, and whether the route's declaration lets them. Deny by default: a route that
declares nothing is refused to everybody, an open gateway's callers too. What it refuses goes into the audit trail, so
often a minute for each key, or address where there is none; metrics count the rest.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Final

from fastapi import Request

from services.api.access.credentials import credential_in, is_password, read_credential
from services.api.access.key_ring import KeyRing
from services.api.access.keys_file import StoredKey
from services.api.access.origins import SAFE_METHODS, check_browser, check_local, check_origin
from services.api.access.sessions import COOKIE, Session, Sessions
from services.api.access.throttles import FailureThrottle
from services.api.refusals import Forbidden, ForeignOrigin, TooManyFailures, Unauthenticated
from services.api.scopes import ANYBODY, Caller, Role, required_roles
from services.jobs.ledger.entries import AuditEvent
from services.jobs.ledger.trail import AuditTrail

_ADVICE: Final = "Send a valid API key: `Authorization: Bearer cxr_…`, or Basic with the key as password."
_KEY_ENDED: Final = "This key has expired or was revoked. The service's operator makes another one."
_NO_SESSION: Final = "The session has ended. Sign in again with a key."


def address_of(request: Request) -> str:
    """Return the address of who is connected to us; what headers say of others behind it is not believed."""
    return "unknown" if request.client is None else request.client.host


def caller_of(key: StoredKey, session: Session | None = None) -> Caller:
    """Return the caller that a key makes, or a session of it; the earlier end of the two is the caller's."""
    ends = [end for end in (key.expires_at, None if session is None else session.until) if end is not None]
    return Caller(
        key_id=key.id,
        roles=frozenset(key.roles),
        sites=None if key.sites is None else frozenset(key.sites),
        label=key.label,
        until=min(ends, default=None),
    )


class Guard:
    """Lets requests in. ``keys`` is ``None`` for a gateway that is open, on loopback."""

    def __init__(
        self, *, keys: KeyRing | None, sessions: Sessions, failures: FailureThrottle, audit: AuditTrail
    ) -> None:
        self._keys = keys
        self._sessions = sessions
        self._failures = failures
        self._audit = audit

    async def admit(self, request: Request) -> AsyncIterator[None]:
        """Let the request pass, with ``request.state.caller`` set wherever its route is not open to all.

        A dependency with a second half: what the route itself refuses goes into the trail as well.

        Raises
        ------
        Unauthenticated
            If there is no valid key and no session, or the session's key is valid no more.
        TooManyFailures
            Instead, where too many wrong keys came from the address.
        Forbidden
            If the caller has none of the roles that the route declares, or the route declares none.
        ForeignOrigin
            If a cookie, a browser's password, or an open gateway, would do something for another page.
        QueueUnavailable
            If there is a session, but Redis does not say whose.
        """
        try:
            await self._check(request)
            yield
        except Forbidden as refusal:
            self._note_refusal(request, refusal)
            raise

    def _note_refusal(self, request: Request, refusal: Forbidden) -> None:
        caller: Caller | None = getattr(request.state, "caller", None)
        who = None if caller is None else caller.key_id
        source = address_of(request)
        if self._may_note(who or source):
            self._audit.note(AuditEvent.REFUSED, is_success=False, who=who, source=source, code=refusal.code)

    def _may_note(self, whom: str) -> bool:
        """Return whether there is room in the trail for a key or an address: nobody may fill its disk by knocking."""
        try:
            self._failures.count(whom)
        except TooManyFailures:
            return False
        return True

    async def _check(self, request: Request) -> None:
        declared = required_roles(request.scope["endpoint"])
        if declared is not None and not declared:
            return
        caller = request.state.caller = await self._caller(request)
        if declared is None or not caller.may(*declared):
            raise Forbidden("This key has none of the roles that this takes; docs/api.md says which.")

    async def _caller(self, request: Request) -> Caller:
        if self._keys is None:
            check_local(request)
            return ANYBODY
        headers = request.headers.getlist("authorization")
        if headers:
            # One that names two keys is nobody's.
            credential = credential_in(headers[0]) if len(headers) == 1 else None
            caller = request.state.caller = caller_of(self._checked(request, self._keys.identify(credential)))
            if is_password(headers[0]):
                check_browser(request)
            return caller
        token = request.cookies.get(COOKIE)
        if token is None:
            raise Unauthenticated(_ADVICE)
        caller = request.state.caller = await self._signed_in(token)
        if request.method not in SAFE_METHODS:
            check_origin(request)
        return caller

    async def _signed_in(self, token: str) -> Caller:
        caller = await self._caller_of_session(token)
        if caller is None:
            raise Unauthenticated(_NO_SESSION)
        return caller

    async def _caller_of_session(self, token: str) -> Caller | None:
        session = await self._sessions.find(token)
        key = None if session is None or self._keys is None else self._keys.find(session.key_id)
        return None if session is None or key is None else caller_of(key, session)

    async def admitted(self, request: Request, *roles: Role) -> Caller | None:
        """Return whom ``admit`` would let in to read what takes one of these roles; ``None`` where it has to look.

        Refuses nobody, counts nothing and notes nothing. Asks the same as ``admit``: a key that was revoked or a
        session that ended is nobody's here, too, from the same moment on.

        Raises
        ------
        QueueUnavailable
            If there is a session, but Redis does not say whose.
        """
        caller = await self._plain_caller(request)
        return caller if caller is not None and caller.may(*roles) else None

    async def _plain_caller(self, request: Request) -> Caller | None:
        if self._keys is None:
            try:
                check_local(request)
            except ForeignOrigin:
                return None
            return ANYBODY
        headers = request.headers.getlist("authorization")
        if headers:
            # A password takes a look at the browser that sends it.
            is_plain = len(headers) == 1 and not is_password(headers[0])
            key = self._keys.identify(credential_in(headers[0])) if is_plain else None
            return caller_of(key) if key is not None and key.is_valid(datetime.now(UTC)) else None
        token = request.cookies.get(COOKIE)
        return None if token is None else await self._caller_of_session(token)

    def check_again(self, caller: Caller) -> None:
        """Return if a caller that was let in a while ago would still be, to as much.

        Raises
        ------
        Unauthenticated
            If its key ended, or is for other roles or sites by now.
        """
        if caller.key_id is None or self._keys is None:
            return
        key = self._keys.find(caller.key_id)
        now = None if key is None else caller_of(key)
        if now is None or (now.roles, now.sites) != (caller.roles, caller.sites):
            raise Unauthenticated(_KEY_ENDED)

    async def check_session(self, request: Request) -> None:
        """Return if what let a request in a while ago still would: as ``check_again``, and its session is asked after.

        Raises
        ------
        Unauthenticated
            If the key ended, or the session did.
        QueueUnavailable
            If there is a session, but Redis does not say whose.
        """
        self.check_again(request.state.caller)
        token = request.cookies.get(COOKIE)
        if self._keys is not None and token is not None and "authorization" not in request.headers:
            await self._signed_in(token)

    def key_to_sign_in(self, request: Request, text: str) -> StoredKey | None:
        """Return the key that somebody signs in with; ``None`` where the gateway is open and asks for none.

        Raises
        ------
        ForeignOrigin, Unauthenticated, TooManyFailures
            As ``admit``.
        """
        if self._keys is None:
            return None
        check_origin(request)
        return self._checked(request, self._keys.identify(read_credential(text.strip())))

    def _checked(self, request: Request, key: StoredKey | None) -> StoredKey:
        if key is not None and key.is_valid(datetime.now(UTC)):
            return key
        if key is None:
            self._failures.count(address_of(request))
            self._note_failure(request, None)
            raise Unauthenticated(_ADVICE)
        if self._may_note(address_of(request)):
            self._note_failure(request, key.id)
        raise Unauthenticated(_KEY_ENDED)

    def _note_failure(self, request: Request, key_id: str | None) -> None:
        source, code = address_of(request), Unauthenticated.code
        self._audit.note(AuditEvent.SIGN_IN_FAILED, is_success=False, who=key_id, source=source, code=code)
