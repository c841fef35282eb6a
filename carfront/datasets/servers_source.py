"""Images from servers, several of which share the work."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from carfront import answers, calls
from carfront.answers import Drawn
from carfront.client import Client
from carfront.datasets.index import Lineage
from carfront.errors import (
    RETRIED,
    AccessDenied,
    BadAnswer,
    BadRequest,
    CarfrontError,
    DataSetError,
    NotFound,
    TooLate,
)
from carfront.retries import FIRST_S, LONGEST_S

T = TypeVar("T")

BLOCK_IMAGES, BLOCK_BYTES = 1024, 4_000_000
"""The images, and their bytes, of one request at most: a server holds requests in its memory."""
CONNECTIONS = 4
"""The requests that one server has at a time: enough to keep it busy while answers travel."""


@dataclass
class _Server:
    """A server, and when it may be asked."""

    client: Client
    in_flight: int = 0
    pause_s: float = FIRST_S
    rests_until: float = 0.0
    error: CarfrontError | None = None
    """Why it rests, or did last."""


class ServersSource:
    """Draws with all of ``clients``, which do not retry by themselves: another server may be free.

    A request that fails goes to whichever server is ready first, for ``patience_s`` at most; if
    all of them want to be left alone for longer, it fails at once. All servers have to draw with
    the same model, version and plan.

    Raises:
        CarfrontError: no server answers in that time, or it refuses.
    """

    def __init__(
        self,
        clients: Sequence[Client],
        truncation: float = 1.0,
        class_: str | None = None,
        patience_s: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        self._servers = [_Server(client) for client in clients]
        self._truncation, self._class = truncation, class_
        self._patience_s = patience_s
        self._clock = clock
        self._closed = threading.Event()
        self._wait = wait or self._closed.wait
        self._lock = threading.Lock()
        self._made_by = ("", "")
        try:
            first = self._draw(range(1))
            self._made_by = first.model, first.plan
            name, _, version = first.model.partition("/")
            rule, bundle, most = self._facts(name, version)
        except BaseException:
            self.close()
            raise
        height, width, channels = first.images.shape[1:]
        self.shape = height, width, channels
        self.parallel = CONNECTIONS * len(clients)
        self.block = max(1, min(most, BLOCK_BYTES // prod(self.shape)))
        self.lineage = Lineage(name, version, first.plan, rule, bundle, truncation, class_)

    def draw(self, seeds: range) -> NDArray[np.uint8]:
        """Return the images of ``seeds`` as uint8 [n, height, width, channels]."""
        return self._draw(seeds).images

    def close(self) -> None:
        """Let nobody wait any more, and end all connections."""
        self._closed.set()
        for server in self._servers:
            server.client.close()

    def _draw(self, seeds: range) -> Drawn:
        """Return the images of ``seeds``, from whichever server has drawn them."""

        def draw(client: Client) -> Drawn:
            drawn = client.draw(seeds, truncation=self._truncation, class_=self._class)
            if (n := len(drawn.images)) != len(seeds):
                raise BadAnswer(f"{client.url} answers with {n} images; wanted {len(seeds)}")
            return drawn

        drawn, url = self._ask(draw)
        self._check(drawn, url)
        return drawn

    def _ask(self, ask: Callable[[Client], T]) -> tuple[T, str]:
        """Return what ``ask`` returns of the first server that answers, and that server's URL."""
        give_up_at = self._clock() + self._patience_s
        while True:
            server = self._ready(give_up_at)
            try:
                answer = ask(server.client)
            except (*RETRIED, TooLate) as error:
                self._rest(server, error)
                if self._closed.is_set():
                    raise DataSetError("the run was stopped") from error
                if self._clock() >= give_up_at:
                    raise
                continue
            finally:
                with self._lock:
                    server.in_flight -= 1
            server.pause_s = FIRST_S
            return answer, server.client.url

    def _ready(self, give_up_at: float) -> _Server:
        """Return the server that has the least to do of those that may be asked; wait for one.

        Raises:
            CarfrontError: all of them rest until after ``give_up_at``; it is why the first does.
        """
        while True:
            with self._lock:
                now = self._clock()
                ready = [x for x in self._servers if x.rests_until <= now]
                if ready:
                    found = min(ready, key=lambda x: x.in_flight)
                    found.in_flight += 1
                    return found
                first = min(self._servers, key=lambda x: x.rests_until)
            if first.error and first.rests_until > give_up_at:
                raise first.error
            self._wait(first.rests_until - now)
            if self._closed.is_set():
                raise DataSetError("the run was stopped")

    def _rest(self, server: _Server, error: CarfrontError) -> None:
        """Leave ``server`` alone for as long as it said, or longer each time."""
        with self._lock:
            pause_s = max(error.retry_after_s or 0.0, server.pause_s)
            server.pause_s = min(2 * server.pause_s, LONGEST_S)
            server.rests_until = self._clock() + pause_s
            server.error = error

    def _check(self, drawn: Drawn, url: str) -> None:
        if self._made_by not in (("", ""), (drawn.model, drawn.plan)):
            model, plan = self._made_by
            raise DataSetError(
                f"{url} draws with {drawn.model} by {drawn.plan}; wanted {model} by {plan}, as "
                "the images before were drawn"
            )

    def _facts(self, name: str, version: str) -> tuple[int, str, int]:
        """Return the seed rule, the bundle's digest and the images of a request at most.

        Of servers that do not tell they are 0, empty, and ``BLOCK_IMAGES``.
        """
        call = calls.config_call(name, version)
        try:
            parameters, most = answers.config(self._ask(lambda client: client.send(call))[0])
        except (AccessDenied, BadRequest, NotFound):
            parameters, most = {}, 0
        rule = parameters.get("seed_rule", "")
        number = int(rule) if rule.isdigit() else 0
        return number, parameters.get("bundle", ""), min(most or BLOCK_IMAGES, BLOCK_IMAGES)
