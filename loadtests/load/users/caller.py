"""The base of all users: asks, checks, and does as refusals say."""

import http.client
import itertools
import json
import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from gevent import GreenletExit
from locust import FastHttpUser
from locust.contrib.fasthttp import LocustBadStatusCode

from loadtests import answers
from loadtests.answers import Answer, Late, Memory, Refused, WrongAnswer
from loadtests.load.facts import Facts, facts_of
from loadtests.load.goldens import Goldens

log = logging.getLogger(__name__)

SEEDS = 2**64
POPULAR: tuple[int, ...] = (0, SEEDS - 1, *range(1, 63))
"""The seeds that many callers ask for: both ends of the range, and those that people type."""
POPULAR_SHARE = 0.5
LOOK_AT_EVERY = 16
"""The number of a user's answers of which the first is looked at more closely."""
LONGEST_PAUSE_S = 0.1

Checked = TypeVar("Checked")
memory = Memory()
told = itertools.count()


def tell(request: str, error: Exception, most: int = 20) -> None:
    """Log the request that failed, for the first ``most`` of them: the report only counts."""
    if not isinstance(error, Refused | Late) and next(told) < most:
        log.error("%s: %s", request, error)


class Caller(FastHttpUser):
    """A user that asks for images and checks the answers."""

    abstract = True
    network_timeout = 600.0
    """The seconds after which an answer of which nothing comes is a fault."""
    retry_after_s = 0.0
    """The seconds for which the last refusal told the user to wait."""

    def on_start(self) -> None:
        """Ask what there is: no image can be checked without. Failed tries are counted."""
        while (facts := self.front_page()) is None:
            self.wait()
        self.facts: Facts = facts
        self.goldens = Goldens(Path(self.environment.parsed_options.models))
        golden = self.goldens.of(f"{facts.model}/{facts.version}")
        self.golden_seeds = tuple(golden.images)
        self.popular = tuple({*POPULAR, *self.golden_seeds})
        self.asked = itertools.count()

    def wait_time(self) -> float:
        """Return the seconds until the next request: as a refusal says, or a short while."""
        pause_s = self.retry_after_s + random.uniform(0, LONGEST_PAUSE_S)
        self.retry_after_s = 0.0
        return pause_s

    def front_page(self) -> Facts | None:
        """Return what the front page tells of the model."""
        return self.ask("front page", "GET", "/", facts_of, accept="application/json")

    def looks(self) -> bool:
        """Return whether the next answer is to be looked at more closely."""
        return next(self.asked) % LOOK_AT_EVERY == 0

    def draw_seed(self, n: int = 1) -> int:
        """Return a seed for ``n`` images, which is a popular one half of the time."""
        if random.random() < POPULAR_SHARE:
            return min(random.choice(self.popular), SEEDS - n)
        return random.randrange(SEEDS - n + 1)

    def ask(
        self,
        name: str,
        method: str,
        path: str,
        check: Callable[[Answer], Checked],
        body: bytes | dict[str, Any] | None = None,
        accept: str = "*/*",
        fields: Mapping[str, str] | None = None,
    ) -> Checked | None:
        """Return the result of ``check`` on the answer; None if wrong, which is counted."""
        headers = {"Accept": accept, **(fields or {})}
        if isinstance(body, dict):
            body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        sent = {"data": body, "headers": headers, "catch_response": True}
        with self.waiting(name), self.client.request(method, path, name, **sent) as response:
            fault = response.request_meta["exception"]
            if not response.status_code or not isinstance(fault, LocustBadStatusCode | None):
                return None  # Locust itself counts and names a request without a whole answer
            return self.judged(response, f"{method} {path}", check, response.content or b"")
        return None

    def judged(
        self, response: Any, request: str, check: Callable[[Answer], Checked], body: bytes
    ) -> Checked | None:
        """Return the result of ``check``; Locust counts the answer as good, or with its fault."""
        headers = {key.lower(): value for key, value in response.headers.items()}
        try:
            checked = check(Answer(response.status_code, headers, body))
        except WrongAnswer as error:
            self.obey(error)
            tell(request, error)
            response.failure(error)
            return None
        response.success()
        return checked

    def obey(self, error: Exception) -> None:
        """Wait before the next request as long as a refusal says."""
        if isinstance(error, Refused):
            self.retry_after_s = error.retry_after_s

    @contextmanager
    def waiting(self, name: str) -> Iterator[None]:
        """Count the block's request as failed if the run ends, and has waited, before its answer.

        Locust kills a user that has not ended within --stop-timeout, and counts nothing. It also
        kills one that it took for pausing, whose request has only begun: that one is no fault.
        """
        began = time.perf_counter()
        try:
            yield
        except GreenletExit:
            waits_s = self.environment.stop_timeout
            if waits_s and time.perf_counter() - began >= waits_s:
                error = WrongAnswer(f"no answer {waits_s:g} s after the end of the run")
                self.count(name, began, error)
            raise

    @contextmanager
    def measured(self, name: str) -> Iterator[None]:
        """Measure and count what the block asks for by other means than Locust's client."""
        began, error = time.perf_counter(), None
        try:
            with self.waiting(name):
                yield
        except (WrongAnswer, OSError, http.client.HTTPException) as fault:
            error = fault
            self.obey(fault)
            tell(name, fault)
        self.count(name, began, error)

    def count(self, name: str, began: float, error: Exception | None) -> None:
        """Have Locust count a request that was begun at ``began``, by ``time.perf_counter``."""
        self.environment.events.request.fire(
            request_type="TCP",
            name=name,
            response_time=(time.perf_counter() - began) * 1e3,
            response_length=0,
            exception=error,
            context={},
        )

    def remember(self, answer: Answer, seed: int, what: str) -> None:
        """Check that a popular seed gives the same bytes as the first time.

        An entity tag promises that by itself; without one it holds for one plan of one version.
        """
        if seed in self.popular:
            drawn = ("carfront-model", "carfront-plan", "etag")
            key = " ".join(answer.headers.get(name, "") for name in drawn).strip()
            memory.check(f"seed {seed}, {what}, {key}", answer.body)

    def png(self, name: str, seed: int) -> bytes | None:
        """Return the checked PNG of one seed."""
        look = self.looks()

        def check(answer: Answer) -> bytes:
            body = answers.check_png(answer, 1, self.facts.shape)
            answers.check_seed(answer, seed)
            self.remember(answer, seed, "png")
            if look or seed in self.golden_seeds:
                self.goldens.check(answer, answers.pixels(body)[None], seed)
            return body

        return self.ask(name, "GET", f"/v1/images/{seed}.png", check, accept="image/png")
