"""The messages between HTTP workers and engine: small ones, as images lie in shared memory.

A worker connects to the engine's Unix socket (SOCK_SEQPACKET: a packet arrives whole or not at
all) and sends one hello that carries the descriptor of its arena. After that the worker submits
requests, and cancels those for which nobody waits any more; the engine answers each request with a
result. A packet holds messages of one kind, as many as were waiting together. Seeds pass through
the socket, images never do: images lie in the request's slot of the arena.

Rare messages: the engine says that the catalog has changed; a worker passes on what an
administrator asks for, and the engine answers when that is done.
"""

import json
import struct
from collections.abc import Iterator, Sequence
from enum import IntEnum
from struct import Struct
from typing import Any, NamedTuple

PACKET = 64
"""The largest number of messages in a packet."""


class Status(IntEnum):
    """The outcome of a request."""

    OK = 0
    FULL = 1
    EXPIRED = 2
    FAILED = 3
    CANCELLED = 4
    STALE = 5
    """The bundle is not served any more; the catalog says which are."""


class Submit(NamedTuple):
    """Worker to engine: a request for images of consecutive seeds."""

    request_id: int
    model: int
    """The bundle's key, see ``Bundle.key``."""
    seed: int
    """The seed of the first image; the others have the seeds that follow it."""
    offset: int
    """The offset of the request's slot in the arena, in bytes."""
    rows: int
    deadline: float
    """The deadline in seconds of CLOCK_MONOTONIC, which all processes of the host share."""
    bulk: bool
    """Whether the request may wait behind others."""
    accepted: bool
    """Whether an engine that is gone had accepted the request: the next must not refuse it."""


class Cancel(NamedTuple):
    """Worker to engine: nobody waits for the request any more."""

    request_id: int


class Result(NamedTuple):
    """Engine to worker: the outcome of a request, and the state of the engine's queue."""

    request_id: int
    status: int
    queue_s: float
    infer_s: float
    waiting_rows: int
    """The number of rows that wait at the engine or run."""
    limit_rows: int
    """The number of rows that may wait."""
    wait_s: float
    """The seconds that ``waiting_rows`` will take, as the engine estimates them."""
    retry_after_s: float
    """The seconds after which a request that was refused would be accepted."""


class Ask(NamedTuple):
    """Worker to engine: an administrator wants a bundle loaded or unloaded."""

    ask_id: int
    action: str
    """Either "load" or "unload"."""
    name: str
    version: str
    """The version; empty when the administrator named none."""


class Told(NamedTuple):
    """Engine to worker: the outcome of an ``Ask``."""

    ask_id: int
    error: str
    """The reason why it failed; empty when it is done."""


class Changed(NamedTuple):
    """Engine to worker: the catalog has changed and should be read again."""


Message = Submit | Cancel | Ask | Result | Told | Changed

_FORMS: dict[bytes, tuple[type[Any], Struct]] = {
    b"S": (Submit, Struct("<QQQQId??")),
    b"C": (Cancel, Struct("<Q")),
    b"R": (Result, Struct("<QBddIIdd")),
}
"""The packed messages, by the first byte of their packets: one packet holds several."""
_TEXTS: dict[bytes, type[Any]] = {b"A": Ask, b"T": Told, b"M": Changed}
"""The JSON messages, by the first byte of their packets: one packet holds one."""
_KINDS: dict[type[Any], bytes] = {
    **{kind: letter for letter, (kind, _) in _FORMS.items()},
    **{kind: letter for letter, kind in _TEXTS.items()},
}
MAX_PACKET = 16384
"""The largest packet in bytes: 64 of the longest packed messages are less than a quarter of it."""
LONGEST_TEXT = 2000
"""The largest number of characters of a text in a message; JSON takes at most 6 bytes for each."""


def pack(messages: Sequence[Message]) -> Iterator[bytes]:
    """Yield the packets that carry ``messages``, which are all of one kind."""
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
        ValueError: the packet holds none of these messages.
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
