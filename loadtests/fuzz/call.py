"""One call by gRPC of the fuzzer: its messages, and the answer that the server owes it."""

from dataclasses import dataclass, field

from loadtests.fuzz.request import Images

SERVICE = "/inference.GRPCInferenceService/"
DOCUMENTED = frozenset(
    {
        "OK",
        "CANCELLED",
        "DEADLINE_EXCEEDED",
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "UNAUTHENTICATED",
        "UNAVAILABLE",
        "UNIMPLEMENTED",
    }
)
"""The statuses that server/README.md names, but for that of faults."""

Metadata = list[tuple[str, str | bytes]]


@dataclass
class Call:
    """A call that may be malformed."""

    kind: str
    """The name of the case, under which failures are counted."""
    request_id: str
    method: str
    """The path of the method."""
    messages: list[bytes]
    """The messages, of which the server takes one."""
    metadata: Metadata = field(default_factory=list)
    codes: frozenset[str] = frozenset({"OK"})
    images: Images | None = None
    """The images that an answer of status OK has."""
    timeout_s: float | None = None
    """The seconds that the call may take; None is as long as an answer may."""
    is_compressed: bool = False
    most_answers: int | None = None
    """The number of answers after which the call is cancelled; None waits for its end."""
    is_for_library: bool = False
    """Whether gRPC's library refuses the call by itself, and tells less of that."""

    @property
    def raw(self) -> bytes:
        """What is sent, as people are shown it."""
        return b" ".join((f"{self.method} {self.metadata}".encode(), *self.messages))

    def owes(self, *codes: str) -> "Call":
        """Set the statuses by which the call may end; return the call."""
        self.codes = frozenset(codes)
        return self

    def says(self, name: str, value: str | bytes) -> "Call":
        """Add metadata; return the call."""
        self.metadata.append((name, value))
        return self


@dataclass(frozen=True)
class Answer:
    """What came of a call."""

    code: str
    details: str = ""
    messages: list[bytes] = field(default_factory=list)
    metadata: dict[str, str | bytes] = field(default_factory=dict)
