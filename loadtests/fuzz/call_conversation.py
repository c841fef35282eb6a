"""Conversations by gRPC: a case or more between control calls on one connection."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from loadtests.fuzz.call import Call
from loadtests.fuzz.calls import CASES, CallMaker

MOST_CASES = 4
NOISE = (
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\0" * 100,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 64,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0" + b"\0\xff\xff\1\4\0\0\0\1x",
)
"""What comes over connections to gRPC's port and is no call: HTTP/1.1, and broken frames of
HTTP/2."""


@dataclass(frozen=True)
class CallConversation:
    """The calls of one connection, and how they are made."""

    calls: list[Call]
    is_at_once: bool
    """Whether calls are made before the answers to those before them have come."""
    noise: bytes
    """What another connection sends beside this one; nothing makes none."""


def call_conversation(
    maker: CallMaker, cases: Mapping[Callable[[CallMaker], Call], int] = CASES
) -> CallConversation:
    """Return a conversation whose calls ``maker`` makes, of ``cases``."""
    rng, calls = maker.rng, []
    for _ in range(rng.randint(1, MOST_CASES)):
        case = rng.choices(list(cases), list(cases.values()))[0]
        calls.append(case(maker))
        if rng.random() < 0.5:
            calls.append(maker.control_call())
    calls.append(maker.control_call())
    noise = rng.choice(NOISE) if rng.random() < 0.1 else b""
    return CallConversation(calls, rng.random() < 0.4, noise)
