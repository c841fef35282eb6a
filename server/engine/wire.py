"""What passes between HTTP workers and engine: small messages, and images in shared memory.

A worker connects to the engine's Unix socket (SOCK_SEQPACKET: a packet arrives whole or not at
all), sends one hello that carries the descriptor of its arena, and then submits requests, or takes
one back that nobody waits for any more; the engine answers each with a result. A packet holds one
kind of message, as many as were waiting together. Latents and images never pass through the
socket: both lie in the request's slot of the arena, latents first.
"""

import math
import mmap
import os
import socket
from bisect import insort
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from pathlib import Path
from struct import Struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

HELLO = b"carfront-engine/2"
"""The first packet of a connection; another version is another word."""
PACKET = 64
"""Messages in a packet, at most."""
ALIGN = 64
"""Slots and their images start on a cache line."""


class Status(IntEnum):
    """How a request ended."""

    OK = 0
    FULL = 1
    EXPIRED = 2
    FAILED = 3
    CANCELLED = 4


class Submit(NamedTuple):
    """Worker to engine: these latents, please."""

    request_id: int
    offset: int
    """Of the slot in the arena, in bytes."""
    rows: int
    deadline: float
    """CLOCK_MONOTONIC, in seconds; the same clock in every process of the host."""
    bulk: bool
    """Whether it may wait behind others."""


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
    limit_rows: int
    wait_s: float
    """How long it would have waited, as far as the engine can tell."""
    retry_after_s: float


_SUBMIT = Struct("<QQId?")
_CANCEL = Struct("<Q")
_RESULT = Struct("<QBddIIdd")
_SUBMITS, _CANCELS = b"S", b"C"
"""The first byte of a worker's packet says what it holds."""
MAX_PACKET = 1 + PACKET * max(_SUBMIT.size, _RESULT.size)


def pack_submits(messages: Iterable[Submit]) -> Iterator[bytes]:
    """Yield the packets that carry ``messages``."""
    return _pack(_SUBMITS, _SUBMIT, messages)


def pack_cancels(messages: Iterable[Cancel]) -> Iterator[bytes]:
    """Yield the packets that carry ``messages``."""
    return _pack(_CANCELS, _CANCEL, messages)


def pack_results(messages: Iterable[Result]) -> Iterator[bytes]:
    """Yield the packets that carry ``messages``."""
    return _pack(b"", _RESULT, messages)


def unpack_requests(packet: bytes) -> Iterator[Submit | Cancel]:
    """Yield the messages of a worker's ``packet``.

    Raises:
        ValueError: it is not one.
    """
    body = memoryview(packet)[1:]
    if packet[:1] == _SUBMITS and len(body) % _SUBMIT.size == 0:
        return map(Submit._make, _SUBMIT.iter_unpack(body))
    if packet[:1] == _CANCELS and len(body) % _CANCEL.size == 0:
        return map(Cancel._make, _CANCEL.iter_unpack(body))
    raise ValueError(f"{len(packet)} bytes that begin with {packet[:1]!r} are no packet of ours")


def unpack_results(packet: bytes) -> Iterator[Result]:
    """Yield the messages of ``packet``."""
    return map(Result._make, _RESULT.iter_unpack(packet))


def _pack(kind: bytes, form: Struct, messages: Iterable[tuple[float, ...]]) -> Iterator[bytes]:
    packed = [form.pack(*message) for message in messages]
    for start in range(0, len(packed), PACKET):
        yield kind + b"".join(packed[start : start + PACKET])


class SlotShape:
    """How the rows of one model look in a slot."""

    def __init__(self, latent_dim: int, image_shape: Sequence[int]) -> None:
        self.latent_dim = latent_dim
        self.image_shape = tuple(image_shape)
        self.image_bytes = math.prod(image_shape)

    def images_at(self, rows: int) -> int:
        """Return where the images start, in bytes from the slot's start."""
        return _aligned(rows * self.latent_dim * 4)

    def size(self, rows: int) -> int:
        """Return the bytes of a slot for ``rows`` rows."""
        return self.images_at(rows) + _aligned(rows * self.image_bytes)

    def rows_in(self, size: int) -> int:
        """Return the rows that surely fit into a slot of ``size`` bytes."""
        return (size - 2 * ALIGN) // (self.latent_dim * 4 + self.image_bytes)


class Arena:
    """Shared memory of one HTTP worker, seen by the worker and by the engine."""

    def __init__(self, fd: int, size: int, shape: SlotShape) -> None:
        self.fd = fd
        self.size = size
        self.shape = shape
        self._map = mmap.mmap(fd, size)

    @classmethod
    def create(cls, size: int, shape: SlotShape) -> "Arena":
        """Return a new arena of ``size`` bytes; its memory is taken as it is first written."""
        fd = os.memfd_create("carfront-arena")
        os.ftruncate(fd, size)
        return cls(fd, size, shape)

    def latents(self, offset: int, rows: int) -> NDArray[np.float32]:
        """Return the latents of the slot at ``offset``: float32 [rows, latent_dim], not a copy."""
        flat = np.frombuffer(self._map, np.float32, rows * self.shape.latent_dim, offset)
        return flat.reshape(rows, self.shape.latent_dim)

    def images(self, offset: int, rows: int) -> NDArray[np.uint8]:
        """Return the images of the slot at ``offset``: uint8 [rows, H, W, C], not a copy."""
        start = offset + self.shape.images_at(rows)
        flat = np.frombuffer(self._map, np.uint8, rows * self.shape.image_bytes, start)
        return flat.reshape(rows, *self.shape.image_shape)

    def close(self) -> None:
        """Give the descriptor back; the memory goes when the last view of it does."""
        os.close(self.fd)


class Slots:
    """Hands out parts of an arena, first fit; neighbours that are given back become one."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._free = [(0, size)]
        self._taken: dict[int, int] = {}

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


def receive_hello(sock: socket.socket, shape: SlotShape) -> Arena | None:
    """Return the arena of the worker at the other end, None when it hung up or is no worker."""
    word, fds, _, _ = socket.recv_fds(sock, len(HELLO) + 1, 1)
    if word != HELLO or len(fds) != 1:
        for fd in fds:
            os.close(fd)
        return None
    return Arena(fds[0], os.fstat(fds[0]).st_size, shape)


def _aligned(size: int) -> int:
    return -(-size // ALIGN) * ALIGN
