"""What the fuzzer has counted so far, and the report that it makes of it."""

import statistics
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from loadtests.fuzz.outcome import Asked, Fault, Outcome

EXAMPLES = 2
"""The number of examples that are kept of each kind of fault in each case."""
ANSWERED = ("200", "OK")
"""The statuses of answers that have what was asked for."""
SHOWN = 1500
"""The longest raw request in bytes that is shown whole."""
WARM = 0.2
"""The part of the run after which memory should stay as it is."""
GROWTH = 1.03
"""The factor by which the server's memory may grow from the warm part of the run to the last."""
STEP_MB = 8.0
"""The growth in MB that is no leak: allocators of several processes take as much at a time."""


@dataclass
class Example:
    """One request that was answered wrongly."""

    fault: str
    case: str
    detail: str
    conversation: int
    raw: str
    """The bytes of the request as a literal of Python."""


@dataclass
class Tally:
    """Counts what came of conversations; several threads add to it."""

    requests: int = 0
    conversations: int = 0
    images: int = 0
    """The number of answers whose images were compared."""
    statuses: Counter[str] = field(default_factory=Counter)
    cases: dict[str, Counter[str]] = field(default_factory=dict)
    """How often each case had which status."""
    faults: dict[str, Counter[str]] = field(default_factory=dict)
    """How often each kind of fault was found in which case."""
    examples: list[Example] = field(default_factory=list)
    own_mb: list[dict[str, float]] = field(default_factory=list)
    """The memory that each process has for itself, by its name, at equal distances."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, number: int, outcome: Outcome) -> None:
        """Count the conversation of this ``number``."""
        with self._lock:
            self.conversations += 1
            self.requests += outcome.sent
            for request, status in outcome.answers:
                self.statuses[status] += 1
                self.images += status in ANSWERED and request.images is not None
                self.cases.setdefault(request.kind, Counter())[status] += 1
            for request, fault in outcome.faults:
                self._note(number, request, fault)

    def add_fault(self, kind: str, detail: str) -> None:
        """Count a fault that is none of one request."""
        self.faults.setdefault(kind, Counter())["the server"] += 1
        if sum(self.faults[kind].values()) <= EXAMPLES:
            self.examples.append(Example(kind, "the server", detail, -1, ""))

    def _note(self, number: int, request: Asked, fault: Fault) -> None:
        counts = self.faults.setdefault(fault.kind, Counter())
        counts[request.kind] += 1
        if counts[request.kind] <= EXAMPLES:
            raw = literal(request.raw)
            self.examples.append(Example(fault.kind, request.kind, fault.detail, number, raw))

    def judge_memory(self) -> None:
        """Count it as a fault if the memory of a process grew once it was warm."""
        for name, mb in self.processes().items():
            if mb["end"] > max(GROWTH * mb["warm"], mb["warm"] + STEP_MB):
                told = f"{name}: from {mb['warm']:.1f} to {mb['end']:.1f} MB"
                self.add_fault("memory grew", told)

    def processes(self) -> dict[str, dict[str, float]]:
        """Return the MB of each process by its name: at the start, when warm, and at the end."""
        if not self.own_mb:
            return {}
        found = {}
        for name, start in self.own_mb[0].items():
            readings = [reading.get(name, 0.0) for reading in self.own_mb]
            warm, last = (statistics.median(part) for part in parts(readings))
            found[name] = {"start": start, "warm": round(warm, 1), "end": round(last, 1)}
        return found

    def report(self) -> dict[str, Any]:
        """Return the counts for JSON."""
        return {
            "requests": self.requests,
            "conversations": self.conversations,
            "images_compared": self.images,
            "own_mb": self.processes(),
            "statuses": dict(sorted(self.statuses.items())),
            "faults": {kind: dict(x.most_common()) for kind, x in sorted(self.faults.items())},
            "cases": {kind: dict(sorted(x.items())) for kind, x in sorted(self.cases.items())},
            "examples": [vars(example) for example in self.examples],
        }

    def progress(self, most: float) -> str:
        """Return how far the run is that has ``most`` requests."""
        found = sum(sum(x.values()) for x in self.faults.values())
        return f"{self.requests:,} of {most:,.0f} requests, {found:,} faults"

    def text(self) -> str:
        """Return what people should know: how much was sent, and faults by kind with examples."""
        told = (
            f"{self.requests:,} requests in {self.conversations:,} conversations, "
            f"{self.images:,} answers compared; {dict(sorted(self.statuses.items()))}"
        )
        lines = [told]
        for name, mb in self.processes().items():
            lines.append(f"{name}: {mb['warm']} MB of its own when warm, {mb['end']} MB at the end")
        for kind, cases in sorted(self.faults.items(), key=lambda x: -sum(x[1].values())):
            lines.append(f"fault: {kind}: {sum(cases.values())} times")
            lines += [f"    {count:6} {case}" for case, count in cases.most_common(12)]
            shown = [x for x in self.examples if x.fault == kind][:EXAMPLES]
            for x in shown:
                lines += [f"    conversation {x.conversation}: {x.detail}", f"        {x.raw}"]
        return "\n".join(lines)


def parts(values: Sequence[float]) -> tuple[Sequence[float], Sequence[float]]:
    """Return the part of a run in which the server was just warm, and a last part as long."""
    length = max(1, int(len(values) * WARM))
    return values[length : 2 * length] or values or [0.0], values[-length:] or [0.0]


def literal(raw: bytes) -> str:
    """Return ``raw`` as a literal of Python; a long one is cut in its middle."""
    if len(raw) <= SHOWN:
        return repr(raw)
    half = SHOWN // 2
    return f"{raw[:half]!r} + {len(raw) - 2 * half} bytes + {raw[-half:]!r}"
