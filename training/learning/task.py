"""What the optimisation loop is given to learn, and what it says of every epoch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """AUC of any finding on select films, which chooses the epoch, and the mean AUC of single findings beside it."""

    auc: float
    findings_auc: float | None = None


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """What one epoch did; ``films_per_second`` is the rate of learning alone, ``seconds`` has validation in it."""

    number: int
    loss: float
    select_auc: float | None
    findings_auc: float | None
    films_per_second: float
    seconds: float

    def note(self) -> str:
        """Return what a progress bar says of it."""
        judged = "" if self.select_auc is None else f", AUC {self.select_auc:.3f}"
        return f"loss {self.loss:.4f}{judged}"

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name, for a JSON line."""
        return asdict(self)


class Task(Protocol):
    """What is learnt, and how it is judged."""

    @property
    def batches_per_epoch(self) -> int:
        """Batches of one epoch."""

    def batches(self, epoch: int, first: int) -> Iterable[tuple[Tensor, Any]]:
        """Yield inputs ``(b, ...)`` and targets of this rank from batch ``first`` on; the same for the same epoch."""

    def loss(self, outputs: Any, targets: Any) -> Tensor:
        """Return the mean loss of a film, ``()``."""

    def judge(self, network: nn.Module) -> Judgement | None:
        """Judge a network in evaluation mode, or return ``None`` where only the loss tells; rank 0 is asked alone."""
