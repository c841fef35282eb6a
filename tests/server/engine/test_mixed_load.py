"""Small and big requests meet in an engine without processes, on a clock that the test moves."""

import heapq
import itertools
import random
from collections import Counter
from dataclasses import dataclass, field

import pytest
from tests_engine import Notes

from server.engine.accepted_requests import AcceptedRequests
from server.engine.batch_limit import mixed_rows
from server.engine.batcher import Batcher
from server.engine.models import Models, ServedModel
from server.engine.worker_connections import WorkerConnection
from server.ipc.arena import Arena, SlotShape
from server.ipc.messages import Status, Submit
from tests.clock import Clock

MODEL = 1
SETTLED = 2
"""The number of the shortest deadline of big requests after which the callers are in step,
and what was accepted before the engine knew its rate is gone."""
PAUSE_S = 0.25
"""The seconds for which a caller waits that was refused."""


@dataclass
class Group:
    """Callers that ask again, as soon as they are answered and have thought for ``think_s``."""

    callers: int
    fewest: int
    most: int
    deadline_s: float
    think_s: float = 0.0
    statuses: Counter = field(default_factory=Counter)
    seconds: list = field(default_factory=list)
    """The seconds that each request took that was answered well."""
    images: int = 0

    @property
    def accepted(self):
        return self.statuses.total() - self.statuses[Status.FULL]


class Simulation:
    """One engine of one stream that draws ``rate`` rows a second, give or take ``noise``."""

    def __init__(self, groups, rate, noise=0.1, batch_rows=64, seed=0):
        self.clock = Clock()
        self.groups = groups
        self.drawn = self.vain = self.busy_s = 0
        """The number of rows that were drawn since all was settled, of those the rows of requests
        that expired, and the seconds they took."""
        self.settled_s = SETTLED * min(group.deadline_s for group in groups if group.most > 8)
        self._rate, self._noise, self._random = rate, noise, random.Random(seed)
        self._arena = Arena.create(8192)
        self._connection = WorkerConnection(None)
        mixed = mixed_rows(batch_rows)
        self.batcher = Batcher(batch_rows, 16384, self.clock, mixed_batch_size=mixed)
        models = Models()
        models.add(ServedModel(MODEL, 8, SlotShape((1, 1, 1)), [], self.batcher, plan="cpu/f32"))
        self._requests = AcceptedRequests(models, Notes(), self.clock)
        self._asked = {}
        self._numbers = itertools.count()
        self._events = []
        self._running = None

    def run(self, seconds):
        """Run until no caller has an answer to wait for, and none asks after ``seconds``."""
        for group in self.groups:
            for _ in range(group.callers):
                self._at(self._random.random() * 0.1, self._ask, group)
        while self._events:
            self.clock.now, _, event, *args = heapq.heappop(self._events)
            if event != self._ask or self.clock.now < seconds:
                event(*args)
                self._gather()
                self._hear()
        self._arena.close()
        assert not self._asked, "a request was never answered"
        assert not self.batcher.rows

    def _at(self, when, event, *args):
        heapq.heappush(self._events, (when, next(self._numbers), event, *args))

    def _ask(self, group):
        number, rows = next(self._numbers), self._random.randint(group.fewest, group.most)
        self._asked[number] = (group, self.clock.now, rows)
        deadline = self.clock.now + group.deadline_s
        submit = Submit(number, MODEL, 0, 0, rows, deadline, False, False)
        self._requests.submit(self._connection, self._arena, submit)

    def _gather(self):
        """Run the next batch, if none runs and some rows wait."""
        while self._running is None and self.batcher.rows:
            batch = self.batcher.take()
            for request in batch.expired:
                self._requests.expire(request)
                self.vain += request.taken if request.arrived >= self.settled_s else 0
            if batch.slices:
                for part in batch.slices:
                    part.request.begin()
                noise = 1 + self._noise * self._random.uniform(-1, 1)
                self._running = (batch, self.clock.now)
                self._at(self.clock.now + batch.rows / self._rate * noise, self._ran)

    def _ran(self):
        (batch, began), self._running = self._running, None
        seconds = self.clock.now - began
        if began >= self.settled_s:
            self.drawn += batch.rows
            self.busy_s += seconds
        self.batcher.observe(batch.rows, seconds)
        for part in batch.slices:
            part.request.ran(part.rows, seconds)
        for part in batch.slices:
            self._requests.end_if_done(part.request)

    def _hear(self):
        """Have the callers hear of their answers."""
        results, self._connection.results = self._connection.results, []
        for result in results:
            group, began, rows = self._asked.pop(result.request_id)
            if began >= self.settled_s:
                group.statuses[Status(result.status)] += 1
                if result.status == Status.OK:
                    group.images += rows
                    group.seconds.append(self.clock.now - began)
            pause_s = group.think_s if result.status == Status.OK else PAUSE_S
            self._at(self.clock.now + pause_s * self._random.uniform(0.5, 1.5), self._ask, group)


@pytest.mark.parametrize("think_s", [0.0, 0.2, 0.5])
@pytest.mark.parametrize(("rate", "batch_rows"), [(300, 32), (1400, 64)])
def test_what_is_accepted_beside_many_small_requests_comes_in_time(rate, batch_rows, think_s):
    """Callers of one image who never think ask for more than the engine draws."""
    small = Group(200, 1, 1, deadline_s=30.0, think_s=think_s * 1400 / rate)
    big = Group(16, 64, 256, deadline_s=4.0 * 1400 / rate)
    simulation = Simulation([small, big], rate, batch_rows=batch_rows)
    seconds = 10 * big.deadline_s
    simulation.run(seconds + simulation.settled_s)
    assert big.statuses[Status.EXPIRED] <= 0.02 * big.accepted
    assert small.statuses[Status.OK] == small.statuses.total()
    assert max(small.seconds) <= (200 / 0.75 + 3 * batch_rows) / rate * 1.1
    if think_s < 0.5:
        assert simulation.busy_s >= 0.98 * seconds, "the engine had work and did not run"
    assert simulation.vain <= 0.01 * simulation.drawn


@pytest.mark.parametrize("rate", [600, 1400])
def test_requests_for_few_images_are_served_beside_as_many_huge_ones_as_there_can_be(rate):
    """Those for 9 images and more have no lane of their own, and four huge ones fill the queue."""
    few = [Group(4, 1, 8, 10.0, think_s=0.05), Group(4, 9, 16, 10.0, think_s=0.05)]
    huge = Group(4, 4096, 4096, deadline_s=60.0)
    simulation = Simulation([*few, huge], rate, noise=0.3)
    simulation.run(120.0)
    for group in few:
        assert group.statuses[Status.OK] >= 0.98 * group.statuses.total()
    assert huge.statuses[Status.OK] >= 2
    assert huge.statuses[Status.EXPIRED] == 0


def test_huge_requests_that_were_accepted_come_in_time_however_many_ask_for_few_images():
    few = Group(60, 9, 16, deadline_s=10.0)
    huge = Group(2, 2048, 2048, deadline_s=60.0)
    Simulation([few, huge], 1400).run(180.0)
    assert huge.statuses[Status.OK] >= 2
    assert huge.statuses[Status.EXPIRED] == 0
    assert few.statuses[Status.OK] >= 0.5 * few.statuses.total()


def test_of_any_mix_nearly_all_that_is_accepted_comes_in_time():
    """The same mixes each time, as one in a hundred has some more that are late."""
    choice, late, accepted = random.Random(0), 0, 0
    for seed in range(10):
        small = Group(
            choice.randint(0, 200), 1, choice.choice([1, 8]), 30.0, think_s=choice.uniform(0, 1)
        )
        big = Group(choice.randint(1, 40), 9, choice.randint(9, 800), choice.uniform(2, 10))
        noise = choice.choice([0.05, 0.1, 0.3])
        Simulation([small, big], rate=1400, noise=noise, seed=seed).run(30.0)
        assert big.statuses[Status.EXPIRED] <= max(3, 0.03 * big.accepted)
        assert small.statuses[Status.OK] == small.statuses.total()
        late += big.statuses[Status.EXPIRED]
        accepted += big.accepted
    assert accepted > 500
    assert late <= 0.005 * accepted
