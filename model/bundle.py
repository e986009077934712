"""The published artefact: a directory with a manifest, one ONNX file, its report and its card (DESIGN §7).

Reads, writes and verifies; does not run the network (``runtime`` does) and therefore needs no onnxruntime, so the
gateway may name the served model too. The digest of the manifest names the model everywhere.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from model.bundle_files import (
    FILES,
    MANIFEST_BYTES,
    check_nothing_else,
    check_unpacked_size,
    read_file,
    write_directory,
)
from model.demographics import AgeSex
from model.errors import BundleCorrupt, BundleIncompatible, BundleNotFound
from model.image import Tensor
from model.manifest import GATE_FILE, GOLDEN_FILE, NETWORK_FILE, Manifest

MANIFEST_FILE = "manifest.json"
REPORT_FILE = "report.json"
CARD_FILE = "MODEL_CARD.md"


@dataclass(frozen=True, kw_only=True)
class GateArrays:
    """Arrays of ``gate.npz``: ``mean`` ``(d,)`` and ``covariance`` ``(d, d)`` of the embedding, both float64."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A verified bundle: every byte in ``network``, the golden inputs and ``gate`` is what the manifest pinned.

    ``digest`` is the sha256 of the manifest's bytes; ``gate`` is there exactly where the manifest has gate statistics,
    ``golden_age_sex`` ``(n, 2)`` exactly where it names an input for it. ``report`` is ``report.json`` as it lies
    there, ``None`` in a bundle without one.
    """

    manifest: Manifest
    digest: str
    network: bytes
    golden_tensors: Tensor
    golden_age_sex: AgeSex | None = None
    gate: GateArrays | None = None
    report: bytes | None = None


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True, kw_only=True)
class VerifiedFiles:
    """Every byte of a bundle, as its manifest pins it. ``contents`` holds the manifest too."""

    manifest: Manifest
    digest: str
    contents: Mapping[str, bytes]


def read_manifest(directory: Path) -> tuple[Manifest, str]:
    """Parse the manifest alone; return it with its digest.

    Raises
    ------
    BundleNotFound
        If there is no manifest in ``directory``.
    BundleIncompatible
        If it is no manifest of schema version 1.
    BundleCorrupt
        If it is no plain file, or too large for one.
    """
    content = _read_manifest_bytes(directory)
    return _parsed(directory, content), _sha256(content)


def _read_manifest_bytes(directory: Path) -> bytes:
    try:
        return read_file(directory / MANIFEST_FILE, most_bytes=MANIFEST_BYTES)
    except OSError as error:
        raise BundleNotFound(f"no bundle at {directory}: cannot read {MANIFEST_FILE} ({error.strerror})") from error


def _parsed(directory: Path, content: bytes) -> Manifest:
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "document"
        path = directory / MANIFEST_FILE
        raise BundleIncompatible(f"{path} is not a manifest of this version: {where}: {first['msg']}") from error


def read_files(directory: Path) -> VerifiedFiles:
    """Read and verify every file of a bundle; each is read once, hashed, and handed out as those same bytes.

    Raises
    ------
    BundleNotFound, BundleIncompatible
        As ``read_manifest``.
    BundleCorrupt
        If a file is missing, a symbolic link, too large, or its sha256 differs from the manifest; if the directory
        holds a file that the manifest does not name.
    """
    document = _read_manifest_bytes(directory)
    manifest = _parsed(directory, document)
    if len(manifest.files) > FILES:
        raise BundleIncompatible(f"bundle {directory} names {len(manifest.files)} files; at most {FILES} are read")
    check_nothing_else(directory, manifest.files, besides=MANIFEST_FILE)
    contents = {MANIFEST_FILE: document}
    for name, expected in manifest.files.items():
        try:
            contents[name] = read_file(directory / name)
        except OSError as error:
            raise BundleCorrupt(f"bundle {directory}: cannot read {name} ({error.strerror})") from error
        if _sha256(contents[name]) != expected:
            raise BundleCorrupt(f"bundle {directory}: {name} differs from the sha256 in its manifest")
    return VerifiedFiles(manifest=manifest, digest=_sha256(document), contents=contents)


def read_bundle(directory: Path) -> Bundle:
    """Read and verify a whole bundle.

    Raises
    ------
    BundleNotFound, BundleIncompatible, BundleCorrupt
        As ``read_files`` and ``bundle_of``.
    """
    return bundle_of(read_files(directory), directory)


def bundle_of(files: VerifiedFiles, directory: Path) -> Bundle:
    """Return what verified files amount to; ``directory`` is where they were found, for messages only.

    Raises
    ------
    BundleCorrupt
        If the golden inputs or the gate's arrays do not fit the manifest.
    """
    manifest, contents = files.manifest, files.contents
    tensors, age_sex = _read_golden(directory / GOLDEN_FILE, contents[GOLDEN_FILE], manifest)
    return Bundle(
        manifest=manifest,
        digest=files.digest,
        network=contents[NETWORK_FILE],
        golden_tensors=tensors,
        golden_age_sex=age_sex,
        gate=None if manifest.gate is None else _read_gate(directory / GATE_FILE, contents[GATE_FILE]),
        report=contents.get(REPORT_FILE),
    )


def _read_golden(path: Path, content: bytes, manifest: Manifest) -> tuple[Tensor, AgeSex | None]:
    check_unpacked_size(path, content)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            tensors: Tensor = archive["tensors"]
            age_sex: AgeSex | None = archive.get("age_sex")
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise BundleCorrupt(f"{path} is not an archive with an array 'tensors'") from error
    films, size = len(manifest.golden_probabilities), manifest.preprocessing.size
    if tensors.dtype != np.uint8 or tensors.shape != (films, 1, size, size):
        raise BundleCorrupt(f"{path}: tensors are {tensors.dtype}{tensors.shape}, which does not fit the manifest")
    if (age_sex is None) != (manifest.age_sex_input_name is None):
        raise BundleCorrupt(f"{path}: an array 'age_sex' and the manifest's age_sex_input_name go together")
    if age_sex is not None and (age_sex.dtype != np.float32 or age_sex.shape != (films, 2)):
        raise BundleCorrupt(f"{path}: age_sex is {age_sex.dtype}{age_sex.shape}, which does not fit the manifest")
    return tensors, age_sex


def _read_gate(path: Path, content: bytes) -> GateArrays:
    check_unpacked_size(path, content)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = GateArrays(mean=archive["mean"], covariance=archive["covariance"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise BundleCorrupt(f"{path} is not an archive with the arrays 'mean' and 'covariance'") from error
    side = len(arrays.mean) if arrays.mean.ndim == 1 else 0
    is_sound = all(
        values.dtype == np.float64 and np.isfinite(values).all() for values in (arrays.mean, arrays.covariance)
    )
    if not side or not is_sound or arrays.covariance.shape != (side, side):
        raise BundleCorrupt(f"{path} holds no finite float64 mean (d,) and covariance (d, d)")
    return arrays


def write_bundle(directory: Path, manifest: Manifest, contents: dict[str, bytes]) -> str:
    """Write a bundle so that it is either whole or absent; return its digest.

    ``manifest.files`` is replaced by the sha256 of ``contents``. The directory appears by one rename after every file
    is fsynced; an existing directory is left alone.

    Raises
    ------
    FileExistsError
        If ``directory`` exists: bundles are immutable.
    """
    if directory.exists():
        raise FileExistsError(f"{directory} exists; bundles are immutable, choose another name or version")
    pinned = manifest.model_copy(update={"files": {name: _sha256(content) for name, content in contents.items()}})
    document = json.dumps(pinned.model_dump(mode="json"), indent=2, ensure_ascii=False).encode() + b"\n"
    write_directory(directory, {**contents, MANIFEST_FILE: document})
    return _sha256(document)


def pack_golden(tensors: Tensor, age_sex: AgeSex | None = None) -> bytes:
    """Return the bytes of ``golden.npz`` for ``(n, 1, s, s)`` uint8 tensors.

    ``age_sex`` ``(n, 2)`` float32 of the same films goes with them where the network takes it; NaN is unknown.
    """
    buffer = io.BytesIO()
    if age_sex is None:
        np.savez_compressed(buffer, tensors=tensors)
    else:
        np.savez_compressed(buffer, tensors=tensors, age_sex=age_sex)
    return buffer.getvalue()


def pack_gate(arrays: GateArrays) -> bytes:
    """Return the bytes of ``gate.npz``."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, mean=arrays.mean, covariance=arrays.covariance)
    return buffer.getvalue()
