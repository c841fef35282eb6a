"""What the fuzzer has counted so far, and the report that it makes of it."""

import statistics
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from loadtests.fuzz.conversation import Conversation
from loadtests.fuzz.player import Outcome
from loadtests.fuzz.request import Request
from loadtests.fuzz.verdict import Fault

EXAMPLES = 2
"""The number of examples that are kept of each kind of fault in each case."""
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
    statuses: Counter[int] = field(default_factory=Counter)
    cases: dict[str, Counter[str]] = field(default_factory=dict)
    """How often each case had which status."""
    faults: dict[str, Counter[str]] = field(default_factory=dict)
    """How often each kind of fault was found in which case."""
    examples: list[Example] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)
    """The server's memory, at equal distances."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, conversation: Conversation, outcome: Outcome) -> None:
        """Count one conversation."""
        with self._lock:
            self.conversations += 1
            self.requests += outcome.sent
            for request, status in outcome.answers:
                self.statuses[status] += 1
                self.images += status == 200 and request.images is not None
                self.cases.setdefault(request.kind, Counter())[str(status)] += 1
            for request, fault in outcome.faults:
                self._note(conversation, request, fault)

    def add_fault(self, kind: str, detail: str) -> None:
        """Count a fault that is none of one request."""
        self.faults.setdefault(kind, Counter())["the server"] += 1
        if sum(self.faults[kind].values()) <= EXAMPLES:
            self.examples.append(Example(kind, "the server", detail, -1, ""))

    def _note(self, conversation: Conversation, request: Request, fault: Fault) -> None:
        counts = self.faults.setdefault(fault.kind, Counter())
        counts[request.kind] += 1
        if counts[request.kind] <= EXAMPLES:
            raw = literal(request.raw)
            self.examples.append(
                Example(fault.kind, request.kind, fault.detail, conversation.number, raw)
            )

    def judge_memory(self) -> None:
        """Count it as a fault if the server's memory grew once it was warm."""
        warm, last = (statistics.median(part) for part in parts(self.memory_mb))
        if last > max(GROWTH * warm, warm + STEP_MB):
            self.add_fault("memory grew", f"from {warm:.1f} to {last:.1f} MB")

    def report(self) -> dict[str, Any]:
        """Return the counts for JSON."""
        warm, last = (statistics.median(part) for part in parts(self.memory_mb))
        return {
            "requests": self.requests,
            "conversations": self.conversations,
            "images_compared": self.images,
            "memory_mb": {"warm": round(warm, 1), "end": round(last, 1)},
            "statuses": dict(sorted(self.statuses.items())),
            "faults": {kind: dict(x.most_common()) for kind, x in sorted(self.faults.items())},
            "cases": {kind: dict(sorted(x.items())) for kind, x in sorted(self.cases.items())},
            "examples": [vars(example) for example in self.examples],
        }

    def text(self) -> str:
        """Return what people should know: the faults by kind, each with examples."""
        lines = []
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
