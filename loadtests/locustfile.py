"""Locust users of three kinds, which check every answer.

    locust -f loadtests/locustfile.py --headless --host http://127.0.0.1:8000 -u 32 -t 20s

The command is run in the repository's root. ``python -m loadtests.run`` starts a server too.
"""

import itertools
import json
import logging
import random
from collections.abc import Callable
from typing import Any, TypeVar

import gevent
from locust import FastHttpUser, between, events, task
from locust.runners import WorkerRunner

from loadtests import answers
from loadtests.answers import Answer, Memory, WrongAnswer
from loadtests.thresholds import Outcome, Thresholds, misses

log = logging.getLogger(__name__)

SEEDS = 2**64
POPULAR: tuple[int, ...] = (0, SEEDS - 1, *range(1, 63))
"""The seeds that many callers ask for: both ends of the range, and those that people type."""
POPULAR_SHARE = 0.5
SINGLE = "GET /v1/images/{seed}.png"
ROW = "GET /v1/images/{seed}.png, to compare"
"""The name of a check's requests, apart from SINGLE: the p95 is that of pages, not of checks."""
LOOK_AT_EVERY = 16
"""The number of a user's answers of which the first is decoded; one image of a decoded batch is
compared with its seed's PNG."""
SMALL_N = 16
BULK_N = range(64, 257)

MISTAKES: tuple[tuple[str, str, dict[str, Any] | None], ...] = (
    ("GET", "/v1/images/-1.png", None),
    ("GET", f"/v1/images/{SEEDS}.png", None),
    ("POST", "/v1/images", {"n": 1, "seed": -1}),
    ("POST", "/v1/images", {"n": 0, "seed": 7}),
    ("POST", "/v1/images", {"n": 5000, "seed": 7}),
    ("POST", "/v1/images", {"n": 16, "seed": SEEDS - 1}),
    ("POST", "/v1/images", {"n": 1, "seed": 7, "format": "bmp"}),
)

Checked = TypeVar("Checked")
memory = Memory()
told = itertools.count()


def tell(request: str, error: WrongAnswer, most: int = 20) -> None:
    """Log the request that failed, for the first ``most`` of them: Locust's summary only counts."""
    if next(told) < most:
        log.error("%s: %s", request, error)


def draw_seed(n: int = 1) -> int:
    """Return a seed for ``n`` images, which is a popular one half of the time."""
    if random.random() < POPULAR_SHARE:
        return min(random.choice(POPULAR), SEEDS - n)
    return random.randrange(SEEDS - n + 1)


class Caller(FastHttpUser):
    """A user that asks for images and checks the answers; at times its request is a bad one."""

    abstract = True
    wait_time = between(0.0, 0.1)
    shape = (0, 0, 0)
    """The shape of one image, for which each user asks the server at its start."""

    def on_start(self) -> None:
        while (shape := self.front_page()) is None:
            self.wait()  # no image can be checked without the shape; Locust counts failed tries
        self.shape = shape
        self.images_asked = itertools.count()
        self.mistake()

    def front_page(self) -> tuple[int, int, int] | None:
        """Return the shape of one image, from the front page."""
        return self.ask("GET /", "GET", "/", answers.shape_of, accept="application/json")

    def looks(self) -> bool:
        """Return whether the next answer is to be decoded."""
        return next(self.images_asked) % LOOK_AT_EVERY == 0

    def ask(
        self,
        name: str,
        method: str,
        path: str,
        check: Callable[[Answer], Checked],
        body: dict[str, Any] | None = None,
        accept: str = "*/*",
    ) -> Checked | None:
        """Return the result of ``check`` on the answer; None if wrong, which Locust counts."""
        with self.client.request(
            method, path, name=name, json=body, headers={"Accept": accept}, catch_response=True
        ) as response:
            if not response.status_code:
                return None  # Locust itself counts and names a request without any answer
            headers = {key.lower(): value for key, value in response.headers.items()}
            try:
                checked = check(Answer(response.status_code, headers, response.content or b""))
            except WrongAnswer as error:
                tell(f"{method} {path} {json.dumps(body) if body else ''}", error)
                response.failure(str(error))
                return None
            response.success()
            return checked
        return None

    def png(self, seed: int, name: str = SINGLE, look: bool = False) -> bytes | None:
        """Return the checked PNG of one seed."""

        def check(answer: Answer) -> bytes:
            body = answers.check_png(answer, 1, self.shape)
            answers.check_seed(answer, seed)
            remember(body, seed, 1, "png")
            if look:
                answers.pixels(body)
            return body

        return self.ask(name, "GET", f"/v1/images/{seed}.png", check, accept="image/png")

    def batch(
        self, name: str, n: int, form: str, check: Callable[[Answer, int | None, bytes], None]
    ) -> None:
        """Ask for ``n`` images; ``check`` gets the answer, the row to compare, and its PNG."""
        seed = draw_seed(n)
        row = random.choice((0, n - 1, random.randrange(n))) if self.looks() else None
        png = None if row is None else self.png(seed + row, ROW)

        def whole(answer: Answer) -> None:
            check(answer, row if png else None, png or b"")
            answers.check_seed(answer, seed)
            remember(answer.body, seed, n, form)

        self.ask(name, "POST", "/v1/images", whole, {"n": n, "seed": seed, "format": form})

    @task(1)
    def mistake(self) -> None:
        """Make a bad request, whose refusal is the success."""
        method, path, body = random.choice(MISTAKES)
        self.ask("a bad request", method, path, answers.check_problem, body)


def remember(body: bytes, seed: int, n: int, form: str) -> None:
    """Check that a popular seed gives the same bytes as the first time."""
    if seed in POPULAR:
        memory.check(f"seed {seed}, n {n}, {form}", body)


class PageView(Caller):
    """A user that asks for one image for a page."""

    weight = 12

    @task(40)
    def image(self) -> None:
        """Ask for one image."""
        self.png(draw_seed(), look=self.looks())


class SmallBatch(Caller):
    """A user that asks for sheets of a few images."""

    weight = 3

    @task(40)
    def sheet(self) -> None:
        """Ask for a sheet of 16 images; at times compare one with the PNG of its seed."""

        def check(answer: Answer, row: int | None, png: bytes) -> None:
            body = answers.check_png(answer, SMALL_N, self.shape)
            if row is not None:
                drawn = answers.pixels(body)
                answers.check_row(answers.tile(drawn, row, SMALL_N, self.shape), png)

        self.batch(f"POST /v1/images n={SMALL_N} png", SMALL_N, "png", check)


class Bulk(Caller):
    """A user that asks for pieces of a data set."""

    weight = 1

    @task(40)
    def rows(self) -> None:
        """Ask for 64 to 256 images; at times compare one with the PNG of its seed."""
        n = random.choice(BULK_N)

        def check(answer: Answer, row: int | None, png: bytes) -> None:
            images = answers.check_npy(answer, n, self.shape)
            if row is not None:
                answers.check_row(images[row], png)

        self.batch(f"POST /v1/images n={BULK_N[0]}..{BULK_N[-1]} npy", n, "npy", check)


@events.init.add_listener
def start_the_clock_now(**_: Any) -> None:
    """Update gevent's clock, which stood still for a second during the imports."""
    gevent.get_hub().loop.update_now()


@events.init_command_line_parser.add_listener
def add_limits(parser: Any) -> None:
    """Add the options for the limits above which the run fails."""
    limits = Thresholds()
    parser.add_argument(
        "--max-failure-ratio",
        type=float,
        default=limits.max_failure_ratio,
        help="failed requests among all, 0 to 1, above which the run fails (default %(default)s)",
    )
    parser.add_argument(
        "--max-p95-ms",
        type=float,
        default=limits.max_p95_ms,
        help="p95 latency of a single image above which the run fails (default %(default)s)",
    )


@events.quitting.add_listener
def judge(environment: Any, **_: Any) -> None:
    """Log a line for each limit that was missed, and set status 1 if there is any."""
    if environment.runner is None or isinstance(environment.runner, WorkerRunner):
        return
    options = environment.parsed_options
    total, single = environment.stats.total, environment.stats.get(SINGLE, "GET")
    outcome = Outcome(
        requests=total.num_requests,
        failures=total.num_failures,
        single_images=single.num_requests,
        p95_ms=single.get_response_time_percentile(0.95),
        exceptions=sum(error["count"] for error in environment.runner.exceptions.values()),
    )
    found = misses(outcome, Thresholds(options.max_failure_ratio, options.max_p95_ms))
    for miss in found:
        log.error("FAILED: %s", miss)
    environment.process_exit_code = 1 if found else 0
