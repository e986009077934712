"""One recomputed number beside the printed one, and what follows from the pair."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from training.reports.rounding import Interval, as_printed, exactly


class Verdict(StrEnum):
    """What a recomputation says of a printed figure."""

    AGREES = "agrees"
    CONTRADICTS = "contradicts"
    # Another number that a reader should have seen beside it; no equality is claimed.
    BESIDE = "beside"


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A printed figure, the same thing computed again, and the verdict.

    Attributes
    ----------
    key
        Report and name, ``003.accuracy_40_epochs``; texts refer to it.
    printed
        As the report has it, or ``-`` where it prints nothing.
    computed
        Every value that the printed inputs allow.
    decimals
        How many to show of ``computed``; as a percentage where ``is_share``.
    how
        From what, and with what function.
    """

    key: str
    about: str
    printed: str
    computed: Interval
    decimals: int
    how: str
    verdict: Verdict
    difference: float = 0.0
    is_share: bool = False

    @property
    def shown(self) -> str:
        """The computed value as people read it."""
        low, high = (self._one(value) for value in (self.computed.low, self.computed.high))
        return low if low == high else f"{low} to {high}"

    @property
    def difference_shown(self) -> str:
        """The gap between printed and computed, as people read it."""
        return self._one(self.difference)

    def _one(self, value: float) -> str:
        scaled = value * 100 if self.is_share else value
        return f"{scaled:,.{self.decimals}f}" + (" %" if self.is_share else "")


def compare(key: str, about: str, printed: str, computed: Interval | float, *, how: str) -> Statement:
    """Return whether ``printed`` can be what was ``computed`` from the report's other numbers."""
    found = computed if isinstance(computed, Interval) else exactly(computed)
    gap = as_printed(printed).distance(found)
    return Statement(
        key=key,
        about=about,
        printed=printed,
        computed=found,
        decimals=_decimals(printed, found),
        how=how,
        verdict=Verdict.CONTRADICTS if gap else Verdict.AGREES,
        difference=abs(as_printed(printed).middle - found.middle) if gap else 0.0,
        is_share="%" in printed,
    )


def beside(
    key: str,
    about: str,
    printed: str,
    computed: Interval | float,
    *,
    how: str,
    decimals: int = 4,
    is_share: bool = False,
) -> Statement:
    """Return a number that stands beside what was printed, which may be ``-``; none of the two refutes the other."""
    found = computed if isinstance(computed, Interval) else exactly(computed)
    return Statement(
        key=key,
        about=about,
        printed=printed,
        computed=found,
        decimals=decimals,
        how=how,
        verdict=Verdict.BESIDE,
        is_share=is_share,
    )


def contradiction(
    key: str,
    about: str,
    printed: str,
    computed: Interval | float,
    *,
    how: str,
    decimals: int = 0,
    stands_for: float | None = None,
) -> Statement:
    """Return two statements of one report that cannot both hold, where rounding is not the question.

    ``stands_for`` is the number that ``printed`` means where that is words.
    """
    found = computed if isinstance(computed, Interval) else exactly(computed)
    return Statement(
        key=key,
        about=about,
        printed=printed,
        computed=found,
        decimals=decimals,
        how=how,
        verdict=Verdict.CONTRADICTS,
        difference=abs((as_printed(printed).middle if stands_for is None else stands_for) - found.middle),
    )


def _decimals(printed: str, found: Interval) -> int:
    after_point = len(printed.replace("%", "").strip().partition(".")[2])
    is_whole = found.low == int(found.low) and found.high == int(found.high)
    return after_point if is_whole and not after_point else after_point + 1
