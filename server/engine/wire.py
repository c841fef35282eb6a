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
import math
import mmap
import os
import socket
import struct
from bisect import insort
from collections.abc import Iterator, Sequence
from enum import IntEnum
from pathlib import Path
from struct import Struct
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

HELLO = b"carfront-engine/4"
"""The first packet of a connection; another version is another word."""
PACKET = 64
"""Messages in a packet, at most."""
ALIGN = 64
"""Slots start on a cache line."""


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


class SlotShape:
    """How the images of one model look in a slot."""

    def __init__(self, image_shape: Sequence[int]) -> None:
        self.image_shape = tuple(image_shape)
        self.image_bytes = math.prod(image_shape)

    def size(self, rows: int) -> int:
        """Return the bytes of a slot for ``rows`` images and the mark before them."""
        return ALIGN - (-rows * self.image_bytes // ALIGN) * ALIGN

    def rows_in(self, size: int) -> int:
        """Return the images that surely fit into a slot of ``size`` bytes."""
        return (size - 2 * ALIGN) // self.image_bytes


class Arena:
    """Shared memory of one HTTP worker, seen by the worker and by the engine."""

    def __init__(self, fd: int, size: int) -> None:
        self.fd = fd
        self.size = size
        self._map = mmap.mmap(fd, size)

    @classmethod
    def create(cls, size: int) -> "Arena":
        """Return a new arena of ``size`` bytes; its memory is taken as it is first written."""
        fd = os.memfd_create("carfront-arena")
        os.ftruncate(fd, size)
        return cls(fd, size)

    def images(self, shape: SlotShape, offset: int, rows: int) -> NDArray[np.uint8]:
        """Return the images of the slot at ``offset``: uint8 [rows, H, W, C], not a copy."""
        flat = np.frombuffer(self._map, np.uint8, rows * shape.image_bytes, offset + ALIGN)
        return flat.reshape(rows, *shape.image_shape)

    def mark(self, offset: int, runs: bool) -> None:
        """Note in the slot at ``offset`` whether rows of its request run right now."""
        self._map[offset] = runs

    def runs(self, offset: int) -> bool:
        """Whether rows of the request with that slot run, or ran as their engine died."""
        return bool(self._map[offset])

    def close(self) -> None:
        """Give the descriptor back; the memory goes when the last view of it does."""
        os.close(self.fd)


class Slots:
    """Hands out parts of an arena, first fit; neighbours that are given back become one.

    Of all its bytes, or of ``size`` of them from ``start`` on.
    """

    def __init__(self, size: int, start: int = 0) -> None:
        self.size = size
        self._free = [(start, size)]
        self._taken: dict[int, int] = {}

    @property
    def taken(self) -> int:
        """Bytes that are handed out."""
        return sum(self._taken.values())

    def take(self, size: int) -> int | None:
        """Return the offset of ``size`` free bytes, None when there are not so many together."""
        for i, (offset, free) in enumerate(self._free):
            if free >= size:
                self._taken[offset] = size
                if free > size:
                    self._free[i] = (offset + size, free - size)
                else:
                    del self._free[i]
                return offset
        return None

    def give_back(self, offset: int) -> None:
        """Free what ``take`` returned as ``offset``."""
        insort(self._free, (offset, self._taken.pop(offset)))
        merged: list[tuple[int, int]] = []
        for start, size in self._free:
            if merged and sum(merged[-1]) == start:
                merged[-1] = (merged[-1][0], merged[-1][1] + size)
            else:
                merged.append((start, size))
        self._free = merged


def listen(path: Path) -> socket.socket:
    """Return a listening socket at ``path``; it takes the place of an older engine's at once."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    listener.bind(str(draft))
    listener.listen(256)
    draft.rename(path)
    return listener


def send_hello(sock: socket.socket, arena: Arena) -> None:
    """Introduce a worker: the hello carries its arena's descriptor."""
    socket.send_fds(sock, [HELLO], [arena.fd])


def receive_hello(sock: socket.socket) -> Arena | None:
    """Return the arena of the worker at the other end, None when it hung up or is no worker."""
    word, fds, _, _ = socket.recv_fds(sock, len(HELLO) + 1, 1)
    if word != HELLO or len(fds) != 1:
        for fd in fds:
            os.close(fd)
        return None
    try:
        return Arena(fds[0], os.fstat(fds[0]).st_size)
    except OSError:
        os.close(fds[0])
        raise
