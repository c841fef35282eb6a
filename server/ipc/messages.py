"""The messages between HTTP workers and engine: small ones, as images lie in shared memory.

A worker connects to the engine's Unix socket (SOCK_SEQPACKET: a packet arrives whole or not at
all) and sends one hello that carries the descriptor of its arena. After that the worker submits
requests, and cancels those for which nobody waits any more; the engine answers each request with a
result. A packet holds messages of one kind, as many as were waiting together. The range of seeds
passes through the socket; lists of seeds, latents and images never do: they lie in the request's
slot of the arena.

Rare messages: the engine says that the catalog has changed; a worker asks for what an administrator
wants, or for a graph of float images or of the gradient, and the engine answers when that is done.
"""

import json
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import IntEnum
from struct import Struct
from typing import Any, NamedTuple

from server.bundle.classes import OWN
from server.ipc.sources import SEED_RANGE
from server.queue_state import QueueState

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
    """Worker to engine: a request for images."""

    request_id: int
    model: int
    """The bundle's key, see ``Bundle.key``."""
    seed: int
    """The seed of the first image of a range; the others follow."""
    offset: int
    """The offset of the request's slot in the arena, in bytes."""
    rows: int
    deadline: float
    """The deadline in seconds of CLOCK_MONOTONIC, which all processes of the host share."""
    bulk: bool
    """Whether the request may wait behind others."""
    accepted: bool
    """Whether an engine that is gone had accepted the request: the next must not refuse it."""
    kind: int = SEED_RANGE
    """The kind of the source: with another than a range, the slot holds the rows behind its
    images."""
    truncation: float = 1.0
    """The factor on the latents of seeds."""
    class_id: int = OWN
    """The number of the images' class, or ``OWN``, or ``EACH``: the numbers lie in the slot, int32
    [rows], behind what the source gives. A bundle without classes takes no notice."""


class Cancel(NamedTuple):
    """Worker to engine: nobody waits for the images of a request any more."""

    request_id: int


class Result(NamedTuple):
    """Engine to worker: how a request ended."""

    request_id: int
    status: int
    queue_s: float
    infer_s: float
    plan: int
    """The number of the plan that drew the images, in ``server.config.PLANS``."""
    queue: QueueState
    """The engine's queue as of this answer."""

    def flat(self) -> tuple[float, ...]:
        """Return the fields as they are packed: those of ``queue`` in its place."""
        request_id, status, queue_s, infer_s, plan, queue = self
        return (request_id, status, queue_s, infer_s, plan, *queue)

    @classmethod
    def of_flat(cls, fields: tuple[Any, ...]) -> "Result":
        """Return the result that ``flat`` gave ``fields`` of."""
        request_id, status, queue_s, infer_s, plan = fields[:5]
        return cls(request_id, status, queue_s, infer_s, plan, QueueState._make(fields[5:]))


class Ask(NamedTuple):
    """Worker to engine: an administrator wants a model loaded or unloaded, or a caller wants what a
    graph gives that is not open yet."""

    ask_id: int
    action: str
    """One of "load", "unload", "floats" and "gradient"."""
    name: str
    version: str
    """Which version; empty for the newest."""


class Told(NamedTuple):
    """Engine to worker: what was asked for is done, or why it is not."""

    ask_id: int
    error: str
    """The reason why it failed; empty when it is done."""


class Changed(NamedTuple):
    """Engine to worker: the catalog has changed, and is to be read again."""


Message = Submit | Cancel | Ask | Result | Told | Changed


class _Form(NamedTuple):
    """How messages of one kind are packed, one after the other."""

    struct: Struct
    flat: Callable[[Any], Iterable[Any]] | None
    """Returns the fields of a message as ``struct`` packs them; None where they are so already."""
    of_flat: Callable[[tuple[Any, ...]], Any]
    """Returns the message of the fields that ``struct`` unpacked."""


_FORMS: dict[bytes, _Form] = {
    b"S": _Form(Struct("<QQQQId??Bdi"), None, Submit._make),
    b"C": _Form(Struct("<Q"), None, Cancel._make),
    b"R": _Form(Struct("<QBddBIIdd"), Result.flat, Result.of_flat),
}
"""The first byte of a packet says what kind of messages it holds."""
_TEXTS: dict[bytes, type[Any]] = {b"A": Ask, b"T": Told, b"M": Changed}
"""A message of these kinds comes alone, as JSON."""
_KINDS: dict[type[Any], bytes] = {
    Submit: b"S",
    Cancel: b"C",
    Result: b"R",
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
    struct, flat, _ = _FORMS[letter]
    fields = map(flat, messages) if flat else messages
    packed = [struct.pack(*each) for each in fields]
    for start in range(0, len(packed), PACKET):
        yield letter + b"".join(packed[start : start + PACKET])


def in_packet(messages: Sequence[Message]) -> int:
    """Return how many of ``messages`` the first packet of ``pack`` carries."""
    return min(1 if _KINDS[type(messages[0])] in _TEXTS else PACKET, len(messages))


def unpack(packet: bytes) -> Iterator[Any]:
    """Yield the messages of ``packet``.

    Raises:
        ValueError: the packet is none of ours.
    """
    letter, body = packet[:1], memoryview(packet)[1:]
    try:
        if letter in _TEXTS:
            return iter([_TEXTS[letter](*json.loads(bytes(body)))])
        form = _FORMS[letter]
        return map(form.of_flat, form.struct.iter_unpack(body))
    except (KeyError, TypeError, ValueError, struct.error) as error:
        raise ValueError(
            f"{len(packet)} bytes that begin with {letter!r} are no packet of ours"
        ) from error
