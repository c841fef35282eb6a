"""Asks a real server for single images at random times, whatever its answers (an open loop).

A request's time counts from the moment at which it was to be sent: a server that is slow to answer
does not keep later requests from coming, and a caller that is late to send is not forgiven. One
thread sleeps and sends, another one reads: together they take few microseconds a request, which are
measured, since callers and server share the processors.
"""

import random
import re
import selectors
import socket
import threading
import time
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from loadtests.readings import MeasureError

LENGTH = re.compile(rb"(?i)\r\ncontent-length: (\d+)\r\n")
LAST = re.compile(rb"(?i)\r\nconnection: close\r\n")
STEPS = re.compile(
    rb"(?i)\r\nserver-timing: queue;dur=(\S+), infer;dur=(\S+), encode;dur=(\S+)\r\n"
)
LAST_ANSWER_S = 60.0
CONNECTIONS = 64
"""The number of connections that are open from the start; more are opened when all are in use."""


@dataclass
class Load:
    """The answers to one load."""

    seconds: float
    latencies_s: list[float] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)
    caller_cpu_s: float = 0.0
    """The processor time that the callers took themselves."""

    def steps_ms(self) -> list[tuple[float, float, float]]:
        """Return the milliseconds of queue, inference and encoding that each answer tells."""
        found = (STEPS.search(head) for head in self.heads)
        return [tuple(map(float, each.groups())) for each in found if each]  # type: ignore[misc]


class _Call:
    """A connection, the request that is on its way there, and what has come of its answer."""

    __slots__ = ("due", "missing", "received", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.due = 0.0
        self.received = b""
        self.missing = -1


class Callers:
    """Callers of the server at ``url``, over connections that are kept alive."""

    def __init__(self, url: str, seed: int = 20) -> None:
        place = urlsplit(url)
        self._address = place.hostname or "", place.port or 80
        self._head = f" HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n"
        self._random = random.Random(seed)
        self._closing = ExitStack()
        self._selector = self._closing.enter_context(selectors.DefaultSelector())
        self._idle: deque[_Call] = deque()
        self._sent = 0
        self._answered = 0
        """The number of requests that were answered; another thread than the sender's counts."""

    def __enter__(self) -> "Callers":
        for _ in range(CONNECTIONS):
            self._idle.append(self._connected())
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def open_loop(self, rate: float, seconds: float) -> Load:
        """Ask ``rate`` times a second on average, at random times."""
        load = Load(seconds)
        began, cpu = time.perf_counter(), time.process_time()
        reader = _Reader(self, load, again=False)
        due = began + self._random.expovariate(rate)
        while due < began + seconds and not reader.failed:
            time.sleep(max(0.0, due - time.perf_counter()))
            self.send(due)
            due += self._random.expovariate(rate)
        reader.finish()
        load.caller_cpu_s = time.process_time() - cpu
        return load

    def closed_loop(self, callers: int, seconds: float) -> Load:
        """Have ``callers`` ask at once, each of which asks again as soon as it is answered."""
        load = Load(seconds)
        cpu = time.process_time()
        reader = _Reader(self, load, again=True)
        for _ in range(callers):
            self.send(time.perf_counter())
        reader.wait(seconds)
        reader.finish()
        load.caller_cpu_s = time.process_time() - cpu
        return load

    def send(self, due: float) -> None:
        """Ask for an image that nobody has asked for before."""
        call = self._idle.popleft() if self._idle else self._connected()
        call.due, call.received, call.missing = due, b"", -1
        self._sent += 1
        seed = self._random.getrandbits(52)
        call.sock.sendall(f"GET /v1/images/{seed}.png{self._head}".encode())

    def _connected(self) -> _Call:
        sock = self._closing.enter_context(socket.create_connection(self._address, LAST_ANSWER_S))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        call = _Call(sock)
        self._selector.register(sock, selectors.EVENT_READ, call)
        return call

    def receive(self, timeout_s: float) -> list[_Call]:
        """Return the calls whose answers have arrived, or nothing after ``timeout_s``."""
        done = []
        for key, _ in self._selector.select(timeout_s):
            call: _Call = key.data
            data = call.sock.recv(1 << 17)
            if not data:
                raise MeasureError("the server closed a connection")
            call.received += data
            if call.missing < 0 and (end := call.received.find(b"\r\n\r\n")) > 0:
                length = LENGTH.search(call.received)
                if length is None or not call.received.startswith(b"HTTP/1.1 200 "):
                    raise MeasureError(f"no image but {call.received[:200]!r}")
                call.missing = end + 4 + int(length[1])
            if len(call.received) == call.missing:
                done.append(call)
        return done

    def release(self, call: _Call) -> None:
        """Note that a call is answered, and its connection free, or ended by the server."""
        self._answered += 1
        if LAST.search(call.received):
            self._selector.unregister(call.sock)
            call.sock.close()
        else:
            self._idle.append(call)

    @property
    def all_answered(self) -> bool:
        return self._answered == self._sent


class _Reader:
    """A thread that reads answers into ``load``, and asks again if it is to."""

    def __init__(self, callers: Callers, load: Load, again: bool) -> None:
        self._callers = callers
        self._load = load
        self._again = again
        self._ends = threading.Event()
        self.failed: Exception | None = None
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> None:
        """Let the reader go on for ``seconds``."""
        self._thread.join(seconds)

    def finish(self) -> None:
        """Wait for the last answers.

        Raises:
            MeasureError: a request was not answered with an image.
        """
        self._ends.set()
        self._thread.join()
        if self.failed:
            raise MeasureError(str(self.failed)) from self.failed

    def _read(self) -> None:
        give_up = None
        try:
            while not (self._ends.is_set() and self._callers.all_answered):
                if self._ends.is_set():
                    give_up = give_up or time.monotonic() + LAST_ANSWER_S
                    if time.monotonic() > give_up:
                        raise MeasureError(f"no answer within {LAST_ANSWER_S:g} s")
                for call in self._callers.receive(0.1):
                    self._note(call)
        except (OSError, MeasureError) as error:
            self.failed = error

    def _note(self, call: _Call) -> None:
        now = time.perf_counter()
        is_over = self._again and self._ends.is_set()
        if not is_over:
            self._load.latencies_s.append(now - call.due)
            self._load.heads.append(call.received[:1024])
        self._callers.release(call)
        if self._again and not is_over:
            self._callers.send(now)
