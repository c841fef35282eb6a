"""The search for the highest rate that keeps an objective, by bisection among noisy verdicts.

A trial may be disturbed, so none is believed for good. One trial is enough to go on with, but both
ends of the last bracket, the highest rate that was kept and the lowest that was missed, are tried
until two trials of at most three agree. Where these overrule the first, the bracket opens again up
to the next rate, and the search goes on from there. A mistake on the way leaves its rate at an end
of the bracket, so it is found.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from loadtests.capacity.slo import Slo
from loadtests.capacity.trial import Trial

AGREE = 2
"""The number of trials that settle a rate."""
MOST_TRIALS = 40
"""The number of trials after which a search ends without having settled."""
VOID = 3
"""The number of trials at one rate, in which the generator was the limit, that end a search."""


@dataclass
class Search:
    """The verdicts so far, and what they say of the capacity."""

    first: float
    """The rate at which the search begins, in requests a second."""
    precision: float = 0.05
    """The last bracket's ends differ by this share or less."""
    step: float = 2.0
    """The factor between rates until the first is kept and the first is missed."""
    lowest: float = 0.25
    """The share of the first rate below which the search gives up."""
    verdicts: dict[float, list[bool]] = field(default_factory=dict)
    """For each rate, whether each of its trials kept the objective."""

    def add(self, rate: float, kept: bool) -> None:
        """Note the verdict of one trial."""
        self.verdicts.setdefault(rate, []).append(kept)

    @property
    def missed(self) -> float | None:
        """The lowest rate most of whose trials missed the objective."""
        return min((x for x in self.verdicts if not self._is_kept(x)), default=None)

    @property
    def kept(self) -> float | None:
        """The highest rate below that most of whose trials kept it: the capacity."""
        end = self.missed or math.inf
        return max((x for x in self.verdicts if x < end and self._is_kept(x)), default=None)

    @property
    def is_over(self) -> bool:
        """Whether the search has ended."""
        return self.next_rate() is None

    @property
    def has_settled(self) -> bool:
        """Whether the capacity is as sure as the search makes it."""
        return self.is_over and self.trials < MOST_TRIALS

    @property
    def trials(self) -> int:
        """The number of trials so far."""
        return sum(map(len, self.verdicts.values()))

    def next_rate(self) -> float | None:
        """Return the rate of the next trial, or None when the search is over."""
        if not self.verdicts:
            return self.first
        if self.trials >= MOST_TRIALS:
            return None
        for rate, verdicts in self.verdicts.items():
            if 2 * sum(verdicts) == len(verdicts):
                return rate  # a third trial decides
        kept, missed = self.kept, self.missed
        if missed is None:
            return max(self.verdicts) * self.step
        if kept is None and missed / self.step >= self.lowest * self.first:
            return missed / self.step
        if kept is not None and missed / kept > 1 + self.precision:
            return math.sqrt(kept * missed)
        for end in (kept, missed):
            if end is not None and len(self.verdicts[end]) < AGREE:
                return end
        return None

    def _is_kept(self, rate: float) -> bool:
        verdicts = self.verdicts[rate]
        return 2 * sum(verdicts) > len(verdicts)


@dataclass
class Found:
    """What a search has found."""

    search: Search
    trials: list[Trial]
    """All trials, also those that say nothing."""
    generator_fault: str = ""
    """How the generator was the limit, if that ended the search."""

    @property
    def capacity(self) -> float | None:
        """The highest rate that keeps the objective; None if none does, or if it was not found."""
        return None if self.generator_fault else self.search.kept


def find(
    measure: Callable[[float], Trial], slo: Slo, search: Search, tell: Callable[[str], None]
) -> Found:
    """Return what a search finds that has ``measure`` make a trial at each rate.

    A trial that missed the objective while the generator was the limit is void, and made again.
    ``tell`` is told each trial's result in a sentence.
    """
    found = Found(search, [])
    void = 0
    while (rate := search.next_rate()) is not None:
        trial = measure(rate)
        found.trials.append(trial)
        fault, kept = slo.generator_fault(trial), slo.is_kept(trial)
        tell(f"{sentence(trial)}: {'void, ' + fault if fault else 'kept' if kept else 'missed'}")
        void = void + 1 if fault else 0
        if not fault:
            search.add(rate, kept)
        elif void == VOID:
            found.generator_fault = fault
            break
    return found


def sentence(trial: Trial) -> str:
    """Return the result of a trial in words."""
    return (
        f"{trial.rate:,.1f} requests/s: p50 {trial.p50_ms:.1f} ms, "
        f"tail {trial.tail_ms:.1f} ms, {trial.refused:.2%} refused"
    )
