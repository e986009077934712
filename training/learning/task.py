"""What the optimisation loop is given to learn, and what it says of every epoch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """How a network answers select films.

    Attributes
    ----------
    auc
        Of any finding.
    findings_auc
        Mean AUC of single findings; ``None`` where no finding is on some select films and missing on others.
    loss
        The one that is learnt by, weights included.
    accuracy, recall
        At probability .5: of any finding, or, for networks that answer findings alone, over all their labels as Keras
        counts them. ``recall`` is ``None`` where nothing is positive.
    """

    auc: float
    findings_auc: float | None = None
    loss: float
    accuracy: float
    recall: float | None


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """What one epoch did.

    Attributes
    ----------
    loss, accuracy
        Means over the films learnt from, each answered by the network of its moment, dropout included, as Keras reports
        them; ``accuracy`` is ``None`` for what has no right answers.
    select_auc, findings_auc, select_loss, select_accuracy, select_recall
        Of the ``Judgement``; ``None`` where there is none.
    learning_rate
        Of the epoch's last step; a stage's lower layers may learn slower.
    films_per_second
        Of learning alone; ``seconds`` has validation in it.
    """

    number: int
    loss: float
    accuracy: float | None
    select_auc: float | None
    findings_auc: float | None
    select_loss: float | None
    select_accuracy: float | None
    select_recall: float | None
    learning_rate: float
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

    def batches(self, epoch: int, first: int) -> Iterable[tuple[tuple[Tensor, ...], Any]]:
        """Yield inputs and targets of this rank from batch ``first`` on; the same for the same epoch.

        Inputs are what the network's ``forward`` takes, one after the other, each ``(b, ...)``.
        """

    def loss(self, outputs: Any, targets: Any) -> Tensor:
        """Return the mean loss of a film, ``()``."""

    def accuracy(self, outputs: Any, targets: Any) -> Tensor | None:
        """Return the share of right answers ``()``, or ``None`` where no answer is right or wrong."""

    def judge(self, network: nn.Module) -> Judgement | None:
        """Judge a network in evaluation mode, or return ``None`` where only the loss tells; rank 0 is asked alone."""
