"""One request of the fuzzer: its bytes, and the answer that the server owes it."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from loadtests.fuzz.restored import Restored

SMUGGLED = "smuggled"
"""The X-Request-Id of requests that lie in the bodies of others: no answer may carry it."""
OF_PROTOCOL = re.compile(
    rb"/v2(/.*)?|/v1/models/[^/]+(/(versions|labels)/[^/]+)?(/metadata)?", re.DOTALL
).fullmatch
"""The match of a path of an inference protocol."""
SECRET = b"s3cr3t-of-the-fuzzer"
"""A text that stands where callers send secrets: the server's log may not have it."""


class Owed(Enum):
    """What the server owes to a request."""

    ANSWER = "an answer"
    """One answer comes. The connection lives on, unless the answer says that it closes."""
    REFUSAL = "an error, then the end"
    """One answer comes, and the server closes: it cannot know where the next request begins."""
    EITHER = "an error or nothing, then the end"
    """The request was broken off: an error may come, and the server closes."""


ANSWER, REFUSAL, EITHER = Owed.ANSWER, Owed.REFUSAL, Owed.EITHER


@dataclass(frozen=True)
class Images:
    """Which images an answer of status 200 has to carry."""

    seed: int
    n: int = 1
    format: str = "png"


@dataclass
class Request:
    """A request that may be malformed; cases edit its parts before it is sent."""

    kind: str
    """The name of the case, under which failures are counted."""
    request_id: str
    method: bytes = b"GET"
    target: bytes = b"/healthz"
    version: bytes = b"HTTP/1.1"
    fields: list[bytes] = field(default_factory=list)
    """The lines of the header fields, without their ends."""
    body: bytes = b""
    line_end: bytes = b"\r\n"
    raw_head: bytes | None = None
    """The bytes that are sent instead of the request line and the fields."""
    owed: Owed = Owed.ANSWER
    statuses: frozenset[int] = frozenset({200})
    images: Images | None = None
    restored: Restored | None = None
    """What an answer of status 200 has to be that restores a photograph."""
    closes: bool = False
    """Whether the request says that its answer is the connection's last."""
    waits: bool = False
    """Whether the body is sent only after the server's 100 (Continue)."""
    ends_writing: bool = False
    """Whether the caller shuts down its side right after the request."""
    needs_key: bool = False
    """Whether the server wants a key, and may refuse the one that the request has."""

    @property
    def head(self) -> bytes:
        """The bytes before the body."""
        if self.raw_head is not None:
            return self.raw_head
        line = b" ".join((self.method, self.target, self.version))
        return self.line_end.join((line, *self.fields, b"", b""))

    @property
    def raw(self) -> bytes:
        """All bytes of the request."""
        return self.head + self.body

    @property
    def of_protocol(self) -> bool | None:
        """Whether errors have an inference protocol's form; None where either form is right."""
        if self.raw_head is not None or self.owed is not Owed.ANSWER:
            return None
        if b"://" in self.target or b"%" in self.target or not self.target.startswith(b"/"):
            return None
        return OF_PROTOCOL(self.target.partition(b"?")[0]) is not None

    def owes(self, owed: Owed, statuses: Iterable[int]) -> "Request":
        """Set what the server owes; return the request."""
        self.owed, self.statuses = owed, frozenset(statuses)
        return self

    def with_body(self, body: bytes, length: bytes | None = None) -> "Request":
        """Set the body and its Content-Length; return the request."""
        self.body = body
        self.fields.append(b"Content-Length: " + (b"%d" % len(body) if length is None else length))
        return self


class Variant(NamedTuple):
    """One value of a request's part, and what the server owes to it."""

    name: str
    value: bytes
    owed: Owed
    statuses: Sequence[int]
