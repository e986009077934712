"""The keys that open the gateway, as their file has them now.

A changed file counts within two seconds, without a restart. One that cannot be read or is none changes nothing: the
keys that were read last stay, and log and metric say so. So a mistake in the file neither opens the door nor locks
everybody out unnoticed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from services.api.access.credentials import Credential
from services.api.access.keys_file import StoredKey, parse_keys, read_content, read_keys
from services.api.metrics import KeysState
from services.jobs.settings import SettingsError, is_loopback

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
_PATIENCE_SECONDS: Final = 10.0


class KeyRing:
    """The keys of a file. Safe to ask while ``watch`` replaces them: both happen in the event loop."""

    def __init__(
        self,
        path: Path,
        *,
        read: Callable[[Path], bytes] = read_content,
        patience_seconds: float = _PATIENCE_SECONDS,
    ) -> None:
        """Read the file; raise ``SettingsError`` where it is none, or holds no key that is valid.

        ``read`` is how later looks read it; one that takes longer than ``patience_seconds`` is told of.
        """
        self._path = path
        self._read = read
        self._patience_seconds = patience_seconds
        self._reading: asyncio.Task[bytes] | None = None
        self._keys = {key.id: key for key in read_keys(path)}
        self._content: bytes | None = None
        self._fault: str | None = None
        self._is_open = self.state().valid > 0
        if not self._is_open:
            raise SettingsError(
                f"{path} holds no key that is valid: nobody could get in; "
                f"`cxr-triage key new --file {path} --role submit` adds one"
            )

    def find(self, key_id: str) -> StoredKey | None:
        """Return the key of this id if it is valid now."""
        key = self._keys.get(key_id)
        return key if key is not None and key.is_valid(datetime.now(UTC)) else None

    def identify(self, credential: Credential | None) -> StoredKey | None:
        """Return the key that a credential is, also one that opens nothing any more; ``None`` where it is none."""
        if credential is None:
            return None
        # An unknown id costs the same comparison as a wrong secret, so that time does not tell ids apart.
        key = self._keys.get(credential.id)
        return key if credential.is_of(None if key is None else key.sha256) else None

    def state(self) -> KeysState:
        """Return what metrics say of the keys."""
        now = datetime.now(UTC)
        valid = [key for key in self._keys.values() if key.is_valid(now)]
        expiries = [key.expires_at for key in valid if key.expires_at is not None]
        return KeysState(is_file_good=self._fault is None, valid=len(valid), first_expiry=min(expiries, default=None))

    async def watch(self) -> None:
        """Look at the file once a second until cancelled. Begins by telling of keys that should be replaced."""
        self._tell_of_endless_keys()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Take the file's keys if it has changed; keep those that are known if it cannot be read or is none."""
        try:
            content = await self._content_now()
            if content != self._content:
                self._take(parse_keys(content))
                self._content = content
        except (OSError, ValidationError) as error:
            self._complain(type(error).__name__)
        else:
            self._recover()
        self._tell_whether_anybody_gets_in()

    async def _content_now(self) -> bytes:
        """Return the file's content. Read in a thread, one at most: it may lie on a file system that hangs."""
        if self._reading is None:
            self._reading = asyncio.create_task(asyncio.to_thread(self._read, self._path))
        done, _ = await asyncio.wait({self._reading}, timeout=self._patience_seconds)
        if not done:
            raise TimeoutError("the keys file's disk does not answer")
        reading, self._reading = self._reading, None
        return reading.result()

    def _take(self, keys: tuple[StoredKey, ...]) -> None:
        before, self._keys = self._keys, {key.id: key for key in keys}
        if before != self._keys:
            facts = {"action": "keys_changed", "keys": len(keys), "valid": self.state().valid}
            logger.warning("keys changed", extra=facts)

    def _recover(self) -> None:
        if self._fault is not None:
            self._fault = None
            logger.warning("keys file is good again", extra={"action": "keys_file_good", "keys": len(self._keys)})

    def _tell_whether_anybody_gets_in(self) -> None:
        """Keys also end by themselves, so this is asked at every look, and said once."""
        is_open = self.state().valid > 0
        if self._is_open and not is_open:
            logger.error("no key is valid any more: nobody gets in", extra={"action": "keys_none_valid"})
        self._is_open = is_open

    def _complain(self, fault: str) -> None:
        if fault != self._fault:
            self._fault = fault
            facts = {"action": "keys_file_bad", "error": fault, "keys": len(self._keys)}
            logger.error("keys file cannot be read; the keys that were known still count", extra=facts)

    def _tell_of_endless_keys(self) -> None:
        endless = sorted(key.id for key in self._keys.values() if key.expires_at is None and key.revoked_at is None)
        if endless:
            facts = {"action": "keys_never_expire", "key_ids": endless}
            logger.warning("keys of 0.1.0 submit, read and scrape at every site, for ever: replace them", extra=facts)


def key_ring(host: str, keys_file: Path | None) -> KeyRing | None:
    """Return the keys to check requests with, or ``None`` for a gateway that is open on loopback.

    Raises
    ------
    SettingsError
        If the address is not loopback and there are no keys, or the file is unusable or lets nobody in.
    """
    if keys_file is not None:
        return KeyRing(keys_file)
    if not is_loopback(host):
        raise SettingsError(
            f"CXR_API_HOST is {host}, which others can reach, but there are no API keys; "
            "set CXR_API_KEYS_FILE (`cxr-triage key new --file FILE --role submit` makes one)"
        )
    return None
