"""What passes between HTTP workers and engine: small messages, and images in shared memory.

A worker connects to the engine's Unix socket (SOCK_SEQPACKET: a packet arrives whole or not at
all), sends one hello that carries the descriptor of its arena, and then submits requests, or takes
one back that nobody waits for any more; the engine answers each with a result. A packet holds one
kind of message, as many as were waiting together. Seeds pass through the socket, images never do:
they lie in the request's slot of the arena.

Rarely, the engine says that the catalog has changed, and a worker passes on what an administrator
asks for; the engine answers when that is done.
"""

import json
import struct
from collections.abc import Iterator, Sequence
from enum import IntEnum
from struct import Struct
from typing import Any, NamedTuple

PACKET = 64
"""Messages in a packet, at most."""


class Status(IntEnum):
    """How a request ended."""

    OK = 0
    FULL = 1
    EXPIRED = 2
    FAILED = 3
    CANCELLED = 4
    STALE = 5
    """The bundle is not served any more, the catalog says what is."""


class Submit(NamedTuple):
    """Worker to engine: these images, please."""

    request_id: int
    model: int
    """The bundle's key."""
    seed: int
    """Of the first image; the others follow."""
    offset: int
    """Of the slot in the arena, in bytes."""
    rows: int
    deadline: float
    """CLOCK_MONOTONIC, in seconds; the same clock in every process of the host."""
    bulk: bool
    """Whether it may wait behind others."""
    accepted: bool
    """Whether another engine, which is gone, had it: it is not refused any more."""


class Cancel(NamedTuple):
    """Worker to engine: nobody waits for this one any more."""

    request_id: int


class Result(NamedTuple):
    """Engine to worker: done, or why not."""

    request_id: int
    status: int
    queue_s: float
    infer_s: float
    waiting_rows: int
    """Rows that wait at the engine, or run."""
    limit_rows: int
    """Rows that may wait."""
    wait_s: float
    """How long these rows take, as far as the engine can tell."""
    retry_after_s: float
    """Of what was refused: when it would not be."""


class Ask(NamedTuple):
    """Worker to engine: an administrator wants this."""

    ask_id: int
    action: str
    """load or unload."""
    name: str
    version: str
    """May be empty."""


class Told(NamedTuple):
    """Engine to worker: it is done, or why not."""

    ask_id: int
    error: str


class Changed(NamedTuple):
    """Engine to worker: read the catalog again."""


Message = Submit | Cancel | Ask | Result | Told | Changed

_FORMS: dict[bytes, tuple[type[Any], Struct]] = {
    b"S": (Submit, Struct("<QQQQId??")),
    b"C": (Cancel, Struct("<Q")),
    b"R": (Result, Struct("<QBddIIdd")),
}
"""The first byte of a packet says what it holds; these are packed one after the other."""
_TEXTS: dict[bytes, type[Any]] = {b"A": Ask, b"T": Told, b"M": Changed}
"""These come alone, as JSON."""
_KINDS: dict[type[Any], bytes] = {
    **{kind: letter for letter, (kind, _) in _FORMS.items()},
    **{kind: letter for letter, kind in _TEXTS.items()},
}
MAX_PACKET = 16384
"""Bytes of a packet at most: 64 of the longest messages are less than a quarter."""
LONGEST_TEXT = 2000
"""Characters of a text in a message; six bytes each at most, as JSON writes them."""


def pack(messages: Sequence[Message]) -> Iterator[bytes]:
    """Yield the packets that carry ``messages``, all of one kind."""
    if not messages:
        return
    letter = _KINDS[type(messages[0])]
    if letter in _TEXTS:
        for message in messages:
            short = [x[:LONGEST_TEXT] if isinstance(x, str) else x for x in message]
            yield letter + json.dumps(short).encode()
        return
    form = _FORMS[letter][1]
    packed = [form.pack(*message) for message in messages]
    for start in range(0, len(packed), PACKET):
        yield letter + b"".join(packed[start : start + PACKET])


def in_packet(messages: Sequence[Message]) -> int:
    """Return how many of ``messages`` the first packet of ``pack`` carries."""
    return min(1 if _KINDS[type(messages[0])] in _TEXTS else PACKET, len(messages))


def unpack(packet: bytes) -> Iterator[Any]:
    """Yield the messages of ``packet``.

    Raises:
        ValueError: it is none of ours.
    """
    letter, body = packet[:1], memoryview(packet)[1:]
    try:
        if letter in _TEXTS:
            return iter([_TEXTS[letter](*json.loads(bytes(body)))])
        kind, form = _FORMS[letter]
        return map(kind._make, form.iter_unpack(body))
    except (KeyError, TypeError, ValueError, struct.error) as error:
        raise ValueError(
            f"{len(packet)} bytes that begin with {letter!r} are no packet of ours"
        ) from error
