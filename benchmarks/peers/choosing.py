"""Which of its setups a contender is measured in: one rule for this service and for its peers. Pure arithmetic.

Must not know how a trial is run, nor whose it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from benchmarks.peers.cells import Cell

# What a trial cannot tell apart. In four seconds about a hundred films end, and a batch that ends just before or just
# after moves that by three or four. In the full run of 2026-11-21 (2 cores) a contender's trial and its two rounds in
# the same setup were 2.8 % apart in the median of ten.
TRIAL_MARGIN: Final = 0.03


def chosen_trial(trials: Sequence[Cell], *, default: str) -> Cell:
    """Return the trial of the setup to measure.

    The default's, unless another setup scores more films a second by more than ``TRIAL_MARGIN``. Of those that no
    trial can tell from the fastest, then, the one with the lowest p99.

    Parameters
    ----------
    trials
        One of each setup that came up, at least one.
    default
        The name of the setup that the contender has where nobody chooses.
    """
    fastest = max(trial.per_second for trial in trials)
    as_fast = [trial for trial in trials if trial.per_second * (1 + TRIAL_MARGIN) >= fastest]
    for trial in as_fast:
        if trial.setup == default:
            return trial
    return min(as_fast, key=_p99)


def _p99(trial: Cell) -> float:
    """Return its p99 in milliseconds, infinite where no film was both due and scored after the trial had settled."""
    outcome = trial.measured.outcome
    return float("inf") if outcome is None else outcome.p99
