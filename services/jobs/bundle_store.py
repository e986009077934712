"""A directory of bundles, each under its digest, from which every worker can load what is activated.

What is handed out is verified each time: the name vouches for the manifest, the manifest for every other byte. Knows
nothing of which bundle is active. Shared by operators, who put, and workers, who get.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import shutil
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from model.bundle import Bundle, VerifiedFiles, bundle_of, read_files, read_manifest
from model.bundle_files import write_directory
from model.errors import BundleCorrupt, BundleError, BundleNotFound
from services.jobs.errors import BundleInUse

_DIGEST: Final = re.compile("[0-9a-f]{64}")
_SHORTEST_PREFIX: Final = 6
# What a put that died leaves behind; none takes so long.
_ABANDONED_SECONDS: Final = 3600.0


@dataclass(frozen=True, kw_only=True)
class StoredBundle:
    """One line of the store's list. ``name`` and ``version`` are ``None`` where the manifest cannot be read."""

    digest: str
    name: str | None
    version: str | None
    size_bytes: int


class BundleStore:
    """The store. Several processes may use it at once."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put(self, source: Path) -> Bundle:
        """Verify a bundle and keep a copy under its digest; return it. A second put of the same changes nothing.

        The copy is written from the bytes that were verified, and appears whole or not at all. A copy that is there
        already but damaged is replaced.

        Raises
        ------
        BundleError
            If the bundle is missing, damaged or not of this version; nothing is kept then.
        OSError
            If the store cannot be written.
        """
        files = read_files(source)
        bundle = bundle_of(files, source)
        self._directory.mkdir(parents=True, exist_ok=True)
        self._sweep()
        target = self._directory / bundle.digest
        if target.exists() and not self._is_whole(bundle.digest):
            target.rename(target.with_name(f".{bundle.digest}.{secrets.token_hex(4)}.damaged"))
        if not target.exists():
            self._write(target, files)
        return bundle

    def _write(self, target: Path, files: VerifiedFiles) -> None:
        try:
            write_directory(target, files.contents)
        except OSError:
            # Another put of the same bundle was first.
            if not self._is_whole(target.name):
                raise

    def get(self, digest: str) -> Bundle:
        """Return a stored bundle, verified.

        Raises
        ------
        BundleNotFound
            If the store has none of this digest.
        BundleError
            If what it has is damaged, or is another bundle.
        """
        directory = self._directory / digest
        if not _DIGEST.fullmatch(digest) or not directory.exists():
            raise BundleNotFound(f"the bundle store {self._directory} has no bundle {digest[:12]}")
        files = read_files(directory)
        if files.digest != digest:
            raise BundleCorrupt(f"the bundle store holds another bundle under the name {digest[:12]}")
        return bundle_of(files, directory)

    def find(self, prefix: str) -> str:
        """Return the one digest that begins so.

        Raises
        ------
        BundleNotFound
            If none does, or several do, or so few characters are given that they could soon be.
        """
        found = [name for name in self._digests() if name.startswith(prefix)]
        if len(prefix) < _SHORTEST_PREFIX or len(found) != 1:
            several = "several bundles" if len(found) > 1 else "no bundle"
            raise BundleNotFound(f"the bundle store {self._directory} has {several} of a digest that begins '{prefix}'")
        return found[0]

    def bundles(self) -> list[StoredBundle]:
        """Return what is stored, by digest; the contents are not verified."""
        return [self._line(digest) for digest in self._digests()]

    def remove(self, digest: str, *, in_use: Collection[str]) -> None:
        """Delete a bundle; harmless where there is none.

        Raises
        ------
        BundleInUse
            If it is among those ``in_use``: active, the one to go back to, or served by a worker.
        """
        if digest in in_use:
            raise BundleInUse(f"the bundle {digest[:12]} is active, served, or the one to go back to")
        target = self._directory / digest
        if not _DIGEST.fullmatch(digest) or not target.exists():
            return
        # Renamed first, so that nobody finds half of it.
        doomed = target.with_name(f".{digest}.{secrets.token_hex(4)}.removed")
        target.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)

    def _digests(self) -> list[str]:
        if not self._directory.is_dir():
            return []
        return sorted(path.name for path in self._directory.iterdir() if _DIGEST.fullmatch(path.name) and path.is_dir())

    def _line(self, digest: str) -> StoredBundle:
        directory = self._directory / digest
        size_bytes = sum(path.lstat().st_size for path in directory.iterdir())
        try:
            manifest, actual = read_manifest(directory)
        except BundleError:
            return StoredBundle(digest=digest, name=None, version=None, size_bytes=size_bytes)
        is_itself = actual == digest
        return StoredBundle(
            digest=digest,
            name=manifest.name if is_itself else None,
            version=manifest.version if is_itself else None,
            size_bytes=size_bytes,
        )

    def _is_whole(self, digest: str) -> bool:
        try:
            self.get(digest)
        except BundleError:
            return False
        return True

    def _sweep(self) -> None:
        """Remove what interrupted puts and removals left."""
        for path in self._directory.glob(".*"):
            # Another put may give one its name in this moment.
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.lstat().st_mtime > _ABANDONED_SECONDS:
                    shutil.rmtree(path, ignore_errors=True)
