"""Collects what became of all requests, in one process or from the workers of a distributed run.

Locust's own table rounds times before it stores them; this has each as it was measured. Workers
send what they have since their last report together with it, every three seconds.
"""

import time
from typing import Any

import gevent
from gevent.event import Event
from locust import events
from locust.runners import MasterRunner, WorkerRunner

from loadtests.load import generator
from loadtests.load.generator import GeneratorLoad
from loadtests.load.record import Record

OWN = "carfront"
"""The member of a worker's report that is ours."""
LOCAL = "here"


class Collector:
    """What became of all requests so far, and what the generator took for them."""

    def __init__(self) -> None:
        self.total = Record()
        self.records = [self.total]
        """Where requests are counted."""
        self.loads: dict[str, GeneratorLoad] = {}
        """What each process of the generator took, by its name."""
        self.idle: set[str] = set()
        """The workers that have reported, since the set was cleared, that they have no users."""
        self._unsent = Record()
        self._unsent_load = GeneratorLoad()
        self._is_worker = False
        self._is_stopped = Event()

    def register(self) -> None:
        """Listen to Locust."""
        events.init.add_listener(self._on_init)
        events.test_start.add_listener(self._on_test_start)
        events.test_stop.add_listener(lambda **_: self._is_stopped.set())
        events.request.add_listener(self._on_request)
        events.report_to_master.add_listener(self._on_report_to_master)
        events.worker_report.add_listener(self._on_worker_report)

    def _on_init(self, runner: Any, **_: Any) -> None:
        self._is_worker = isinstance(runner, WorkerRunner)

    def _on_test_start(self, environment: Any, **_: Any) -> None:
        for record in self.records:
            record.of.clear()
        self.loads.clear()
        if isinstance(environment.runner, MasterRunner):
            return  # a master asks for nothing itself
        self._is_stopped.clear()
        own = (gevent.sleep, time.perf_counter, time.process_time, self._is_stopped.is_set)
        gevent.spawn(generator.watch, self._load, *own)

    def _load(self) -> GeneratorLoad:
        """Return where this process keeps what it takes."""
        return self._unsent_load if self._is_worker else self._load_of(LOCAL)

    def _load_of(self, process: str) -> GeneratorLoad:
        return self.loads.setdefault(process, GeneratorLoad())

    def _on_request(
        self, name: str, response_time: float, exception: BaseException | None, **_: Any
    ) -> None:
        for record in [self._unsent] if self._is_worker else self.records:
            record.add(name, response_time, exception)

    def _on_report_to_master(self, data: dict[str, Any], **_: Any) -> None:
        data[OWN] = [self._unsent.packed(), self._unsent_load.packed()]
        self._unsent, self._unsent_load = Record(), GeneratorLoad()

    def _on_worker_report(self, client_id: str, data: dict[str, Any], **_: Any) -> None:
        record, load = data[OWN]
        for each in self.records:
            each.merge(Record.unpacked(record))
        self._load_of(client_id).merge(GeneratorLoad.unpacked(load))
        if not data["user_count"]:
            self.idle.add(client_id)
