"""The phases of a run: at a server that everybody may ask, and at one that wants keys."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

from loadtests.fuzz import call_player, calls, key_cases, keys, player
from loadtests.fuzz.call import Call
from loadtests.fuzz.call_conversation import call_conversation
from loadtests.fuzz.calls import CallMaker
from loadtests.fuzz.conversation import CASES, conversation
from loadtests.fuzz.known import Known
from loadtests.fuzz.maker import TOKEN, Maker
from loadtests.fuzz.outcome import Outcome
from loadtests.fuzz.request import Request
from loadtests.fuzz.tally import Tally
from loadtests.fuzz.verdict import CleanRequestFailed, References, faults
from loadtests.memory import own_mb
from loadtests.serving import Server

SETTINGS = {
    "CARFRONT_ADMIN_TOKEN": TOKEN,
    "CARFRONT_LOG_FORMAT": "json",
    "MALLOC_MMAP_THRESHOLD_": "1048576",  # as in the container's image: see its Dockerfile
}
RUNTIME_DIR = "run"
TOLD_EVERY_S = 5.0
READ_EVERY_S = 0.5
"""The seconds between two readings of the server's memory."""
CALLS_EVERY = 6
"""Of so many conversations one is by gRPC."""


@dataclass(frozen=True)
class Plan:
    """What the command line says."""

    requests: int
    seconds: float
    seed: int
    callers: int
    only: int | None


@dataclass(frozen=True)
class Phase:
    """A part of a run, with a server of its own."""

    name: str
    share: float
    """The part of the requests and of the time that the phase has."""
    first: int
    """The number of the first conversation."""
    cases: Mapping[Callable[[Maker], Request], int]
    call_cases: Mapping[Callable[[CallMaker], Call], int]
    key: bytes = b""
    """The key of right requests; an empty one is none."""

    def settings(self, port: int, folder: Path) -> dict[str, str]:
        """Return the server's settings, with gRPC at ``port``; its files are in ``folder``."""
        runtime_dir = str(folder / RUNTIME_DIR)
        settings = {
            **SETTINGS,
            "CARFRONT_GRPC_PORT": str(port),
            "CARFRONT_RUNTIME_DIR": runtime_dir,
        }
        if self.key:
            path = folder / "keys"
            path.write_text(keys.text())
            settings["CARFRONT_API_KEYS_FILE"] = str(path)
        return settings

    def has(self, number: int) -> bool:
        """Tell whether the phase has the conversation of that ``number``."""
        return self.first <= number < self.first + MOST


MOST = 10**9
"""The most conversations that a phase can have."""
PHASES = (
    Phase("open", 0.8, 0, CASES, calls.CASES),
    Phase("with keys", 0.2, MOST, key_cases.CASES, key_cases.CALL_CASES, keys.FREE.key),
)


class Numbers:
    """An iterator that several threads share: each of them gets other numbers."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self._numbers = iter(numbers)
        self._lock = threading.Lock()

    def __iter__(self) -> "Numbers":
        return self

    def __next__(self) -> int:
        with self._lock:
            return next(self._numbers)


def speaker(url: str, grpc_port: int, phase: Phase, seed: int) -> Callable[[int], Outcome]:
    """Return what holds the conversation of a number, by HTTP or by gRPC, and judges answers."""
    call_player.wait_until_ready(grpc_port)
    known, references = Known.of(url, seed, phase.key), References(url, phase.key)
    judge = partial(faults, references=references)

    def speak(number: int) -> Outcome:
        if number % CALLS_EVERY == 0:
            held = call_conversation(known.call_maker(number), phase.call_cases)
            return call_player.play(grpc_port, held, references)
        return player.play(url, conversation(known.maker(number), number, phase.cases), judge)

    return speak


def fuzz(
    server: Server, grpc_port: int, phase: Phase, plan: Plan, tally: Tally, folder: Path
) -> None:
    """Hold the conversations of ``phase`` until its part of the ``plan`` is fulfilled.

    The server's files are in ``folder``.
    """
    speak, stop = speaker(server.url, grpc_port, phase, plan.seed), threading.Event()
    most, ends = plan.requests * phase.share, time.monotonic() + plan.seconds * phase.share
    numbers = Numbers(count(phase.first) if plan.only is None else [plan.only])

    def hold() -> None:
        for number in numbers:
            if stop.is_set() or tally.requests >= most or time.monotonic() > ends:
                return
            try:
                tally.add(number, speak(number))
            except CleanRequestFailed as error:
                tally.add_fault("a clean request failed", str(error))

    with ThreadPoolExecutor(plan.callers) as pool:
        try:
            holding = [pool.submit(hold) for _ in range(plan.callers)]
            told = 0.0
            while not all(future.done() for future in holding):
                time.sleep(READ_EVERY_S)
                tally.own_mb.append(own_mb(folder / RUNTIME_DIR / "processes"))
                if time.monotonic() - told >= TOLD_EVERY_S:
                    told = time.monotonic()
                    print(f"{phase.name}: {tally.progress(most)}", flush=True)
        finally:
            stop.set()
    for future in holding:
        future.result()
