"""Names every file that training steps exchange, and keeps two processes from working in one run.

A step's folder is there whole or not at all: ``step_folders`` sees to that.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from training.errors import RunError
from training.recipe import Recipe
from training.step_folders import adopted, finished_key, read_stamp, written
from training.weights_facts import WeightsFacts

STEP_NAMES = ("manifest", "pixels", "features", "head", "finetune", "export", "threshold", "evaluate", "publish")

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
        return finished_key(self.root / step)

    def commits(self) -> dict[str, str]:
        """Return the commit of the code that ran each step before ``publish``; those of kept steps may be older.

        Raises
        ------
        OSError, ValueError
            If one of them is not finished.
        """
        return {step: read_stamp(self.root / step).commit for step in STEP_NAMES[:-1]}

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

    def writing(self, step: str, key: str, *, commit: str) -> AbstractContextManager[Path]:
        """Hand out a fresh folder for ``step``; on leaving without an error, stamp it and move it to its place.

        The stamp names the ``key`` of the step's inputs and the ``commit`` of the code that ran it. A finished folder
        of other inputs is replaced, in that same moment.
        """
        return written(self.root / step, key, commit=commit)

    def adopt(self, step: str, other: RunDirectory, key: str) -> bool:
        """Take over ``step`` from another run that finished it with ``key``; return whether it could be.

        Whole or not at all, as ``writing``; the two runs share the files, which neither writes to again.
        """
        return adopted(self.root / step, other.root / step, key)

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
