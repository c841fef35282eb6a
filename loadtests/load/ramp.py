"""A ramp to the breaking point: each step of a load shape is judged by itself."""

from dataclasses import replace

from loadtests.load import slo
from loadtests.load.record import Record
from loadtests.load.shape import Shape
from loadtests.load.slo import SLO


class Ramp:
    """How many users kept the SLO, and how many missed it."""

    def __init__(self, shape: Shape, objective: SLO) -> None:
        self._shape, self._slo = shape, objective
        self._step = 0
        self._users = 0
        self.record = Record()
        """What became of the requests of the present step; whoever counts requests counts here."""
        self.missed = 0
        """The number of users that missed the SLO over a step; 0 if none has."""
        self._why: list[str] = []
        self._clean: list[tuple[int, set[str]]] = []
        """The users of each step without a miss, and the limits that it could not be judged by."""
        self._never_judged = {*slo.not_judged(Record(), objective)}
        """The limits that no step so far could be judged by."""

    @property
    def kept(self) -> int:
        """The largest number of users that kept the SLO over a step.

        A step counts if it could be judged by all limits that any step could be judged by. What
        nobody asks for in the whole run has no answer in any step.
        """
        counts = (users for users, unjudged in self._clean if unjudged <= self._never_judged)
        return max(counts, default=0)

    def is_broken(self, time: float, users: int) -> bool:
        """Judge the step that is over, if one is, and tell whether the SLO was missed.

        ``users`` are those that there are to be at ``time``, the share of the seconds that is over.
        A step without an answer is judged together with the next one.
        """
        step = self._shape.step(time)
        if (time >= 1 or step != self._step) and self.record.requests:
            self._judge()
        self._step, self._users = step, users
        return bool(self.missed)

    def _judge(self) -> None:
        """Judge the step that is over by its record, and empty that for the next one."""
        unjudged = {*slo.not_judged(self.record, self._slo)}
        self._never_judged &= unjudged
        self._why = slo.misses(self.record, self._slo)
        if self._why:
            self.missed = self._users
        else:
            self._clean.append((self._users, unjudged))
        self.record.of.clear()

    def misses(self, total: Record) -> list[str]:
        """Return what the whole run misses: a breaking point is no fault, a wrong answer is one."""
        faults_alone = replace(self._slo, max_refused_share=1.0, max_late_share=1.0, latencies=())
        found = slo.misses(total, faults_alone)
        if self.kept < (wanted := self._slo.min_users):
            short = wanted - self.kept
            found.append(f"{self.kept} users kept it, {short} fewer than the {wanted} that have to")
        return found

    def told(self) -> list[str]:
        """Return lines on the breaking point."""
        kept = f"{self.kept} users kept the SLO {self._slo.name!r}"
        if not self.missed:
            return [f"the breaking point was not reached: {kept}; ask for more with --users"]
        return [f"THE BREAKING POINT: {kept}, {self.missed} missed it:", *self._why]
