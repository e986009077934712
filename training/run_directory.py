"""Names every file that training steps exchange, and makes a step's folder appear whole or not at all.

A step writes into a hidden folder beside its place; when it has returned, a stamp with the key of its inputs is added
and the folder gets its name by one rename. A process that dies in between leaves nothing that looks finished.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from training.errors import RunError
from training.recipe import Recipe
from training.weights_facts import WeightsFacts

STEP_NAMES = ("manifest", "pixels", "features", "head", "finetune", "export", "threshold", "evaluate", "publish")

_STAMP = "stamp.json"
_LOCK = ".lock"


class Order(BaseModel):
    """What a run was started with, so that a step alone needs only the run directory. Paths are absolute.

    ``init_facts`` is what the sidecar of pretrained weights says of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: Recipe
    data: Path
    init: Path | None
    init_sha256: str | None
    init_facts: WeightsFacts | None = None


class _Stamp(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    step: str
    key: str
    commit: str


@dataclass(frozen=True)
class RunDirectory:
    """The folder of one training run; one sub-folder a step."""

    root: Path

    @property
    def order(self) -> Path:
        """The resolved recipe and where the films are."""
        return self.root / "order.json"

    @property
    def listed(self) -> Path:
        """Table of all films of the collection with their parts (``manifest``)."""
        return self.root / "manifest" / "samples.csv"

    @property
    def samples(self) -> Path:
        """Table of the films that decode, with their parts; what every later step reads (``pixels``)."""
        return self.root / "pixels" / "samples.csv"

    @property
    def unreadable(self) -> Path:
        """Films that do not decode, with the reason; empty but for its header where all do (``pixels``)."""
        return self.root / "pixels" / "unreadable.csv"

    @property
    def provenance(self) -> Path:
        """Fingerprints, counts and library versions (``manifest``)."""
        return self.root / "manifest" / "provenance.json"

    def tensors(self, size: int) -> Path:
        """``(n, 1, s, s)`` uint8 ``.npy`` in the order of ``samples``; one for each size of the recipe (``pixels``)."""
        return self.root / "pixels" / f"tensors-{size}.npy"

    @property
    def features(self) -> Path:
        """``(n, d)`` float32 ``.npy`` of the frozen network; absent without ``--init`` (``features``)."""
        return self.root / "features" / "features.npy"

    @property
    def features_table(self) -> Path:
        """Parquet of features, age and sex, written by Spark where it extracted them (``features``)."""
        return self.root / "features" / "features.parquet"

    @property
    def head_history(self) -> Path:
        """One JSON line an epoch of the head on frozen features; absent without a head (``head``)."""
        return self.root / "head" / "history.jsonl"

    @property
    def head(self) -> Path:
        """State of the head trained on frozen features; absent without ``--init`` or a head to train (``head``)."""
        return self.root / "head" / "head.pt"

    @property
    def network(self) -> Path:
        """State of the whole trained network (``finetune``)."""
        return self.root / "finetune" / "network.pt"

    @property
    def history(self) -> Path:
        """One JSON line an epoch (``finetune``)."""
        return self.root / "finetune" / "history.jsonl"

    def graph(self, variant: str) -> Path:
        """One exported ONNX file, ``fp32`` or ``int8`` (``export``)."""
        return self.root / "export" / f"{variant}.onnx"

    @property
    def export_facts(self) -> Path:
        """Which variant ships and why; temperature, parity and size of each (``export``)."""
        return self.root / "export" / "export.json"

    @property
    def gate(self) -> Path:
        """Mean and covariance of the embedding of the graph that ships; absent without a gate (``export``)."""
        return self.root / "export" / "gate.npz"

    @property
    def operating_points(self) -> Path:
        """Thresholds with their evidence, certified for each exported variant on its own graph (``threshold``)."""
        return self.root / "threshold" / "operating_points.json"

    @property
    def calibrate_scores(self) -> Path:
        """Every calibrate film with label and the probability of each exported variant (``threshold``)."""
        return self.root / "threshold" / "calibrate_scores.csv"

    @property
    def test_scores(self) -> Path:
        """Every test film with label and probability (``evaluate``)."""
        return self.root / "evaluate" / "test_scores.csv"

    @property
    def report(self) -> Path:
        """All figures (``evaluate``)."""
        return self.root / "evaluate" / "report.json"

    @property
    def report_page(self) -> Path:
        """The report as one self-contained page (``evaluate``)."""
        return self.root / "evaluate" / "report.html"

    @property
    def plots(self) -> Path:
        """Folder of PNG plots (``evaluate``)."""
        return self.root / "evaluate" / "plots"

    @property
    def published(self) -> Path:
        """Where the bundle went, and its digest (``publish``)."""
        return self.root / "publish" / "published.json"

    def key(self, step: str) -> str | None:
        """Return the key of the inputs that ``step`` was finished with, or ``None`` if it is not finished."""
        try:
            return self._stamp(step).key
        except (OSError, ValueError):
            # Whatever the stamp holds, a step that cannot show its key was not finished by this code.
            return None

    def commits(self) -> dict[str, str]:
        """Return the commit of the code that ran each step before ``publish``; those of kept steps may be older.

        Raises
        ------
        OSError, ValueError
            If one of them is not finished.
        """
        return {step: self._stamp(step).commit for step in STEP_NAMES[:-1]}

    def _stamp(self, step: str) -> _Stamp:
        return _Stamp.model_validate_json((self.root / step / _STAMP).read_bytes())

    @contextmanager
    def locked(self, *, create: bool = False) -> Iterator[None]:
        """Keep every other process out of this run; the system lifts the lock of a process that dies.

        Raises
        ------
        RunError
            If another process holds it, or the directory is absent (without ``create``) or cannot be written.
        """
        try:
            if create:
                self.root.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.root / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError as error:
            raise RunError(f"{self.root} is not a run directory: start it with `cxr-train run`") from error
        except OSError as error:
            raise RunError(f"cannot write the run directory {self.root} ({error.strerror})") from error
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise RunError(f"another process is working in {self.root} ({error.strerror})") from error
            yield
        finally:
            os.close(lock)

    @contextmanager
    def writing(self, step: str, key: str, *, commit: str) -> Iterator[Path]:
        """Hand out a fresh folder for ``step``; on leaving without an error, stamp it and move it to its place.

        The stamp names the ``key`` of the step's inputs and the ``commit`` of the code that ran it.

        A finished folder of other inputs is replaced, in that same moment.
        """
        staging = self.root / f".{step}.partial"
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        yield staging
        stamp = staging / _STAMP
        stamp.write_text(_Stamp(step=step, key=key, commit=commit).model_dump_json() + "\n", encoding="utf-8")
        for path in (path for path in staging.rglob("*") if path.is_file()):
            with path.open("rb") as file:
                os.fsync(file.fileno())
        self._put_in_place(step, staging)

    def _put_in_place(self, step: str, staging: Path) -> None:
        place, outdated = self.root / step, self.root / f".{step}.outdated"
        shutil.rmtree(outdated, ignore_errors=True)
        if place.exists():
            place.rename(outdated)
        staging.rename(place)
        shutil.rmtree(outdated, ignore_errors=True)

    def adopt(self, step: str, other: RunDirectory, key: str) -> bool:
        """Take over ``step`` from another run that finished it with ``key``; return whether it could be.

        Files are shared by hard links where the file system has them, else copied: a finished step's files are never
        written to again, only replaced. Whole or not at all, as ``writing``; the key is checked on what was taken.
        """
        if other.key(step) != key:
            return False
        staging = self.root / f".{step}.partial"
        shutil.rmtree(staging, ignore_errors=True)
        try:
            shutil.copytree(other.root / step, staging, copy_function=_link_or_copy)
            stamp = _Stamp.model_validate_json((staging / _STAMP).read_bytes())
        except (OSError, ValidationError):
            # Gone meanwhile, or no room for it: whoever asks runs the step itself, which says what is wrong.
            return False
        if stamp.key != key:
            return False
        self._put_in_place(step, staging)
        return True

    def write_order(self, order: Order) -> None:
        """Record what the run is asked to do; repeating a run replaces it.

        Raises
        ------
        RunError
            If the directory cannot be made or written.
        """
        partial = self.order.with_suffix(".partial")
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            partial.write_text(order.model_dump_json(indent=2) + "\n", encoding="utf-8")
            partial.replace(self.order)
        except OSError as error:
            raise RunError(f"cannot write the run directory {self.root} ({error.strerror})") from error

    def read_order(self) -> Order:
        """Return what the run was asked to do.

        Raises
        ------
        RunError
            If the directory is no run, or was written by another version.
        """
        try:
            return Order.model_validate_json(self.order.read_text(encoding="utf-8"))
        except OSError as error:
            raise RunError(f"{self.root} is not a run directory: start it with `cxr-train run`") from error
        except (ValidationError, UnicodeDecodeError) as error:
            raise RunError(f"{self.order} was not written by this version; start a new run directory") from error


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
