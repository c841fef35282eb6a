"""What a server does when its model's process is killed, and beside callers that read slowly."""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

from loadtests import wrk
from loadtests.answers import WrongAnswer
from loadtests.compare import processes, rates
from loadtests.compare.checks import require_right
from loadtests.compare.contenders import Running
from loadtests.peers.requests import Requests
from loadtests.readings import MeasureError

KILLED, SLOW = "killed", "slow readers"
IN_A_ROW = 50
"""How many right answers in succession tell that a server is well again."""
WELL_WITHIN_S = 60.0
ASKED_FOR_S = 10.0
"""The seconds after which a probe is given up; what is slower is no answer to a caller."""
PAUSE_S = 0.01
READERS = 16
RECEIVE_BUFFER = 4096
"""The bytes that the kernel keeps of an answer on the callers' side: the server has the rest."""
TAKEN = 1024
"""The bytes that a slow reader takes in each second."""
SINGLES = wrk.Load(SLOW, 8, 1)


class NotMeasured(MeasureError):
    """A column has no meaning for a server; the message is the reason."""


def killed(server: Running) -> dict[str, float]:
    """Kill the process that draws; return the seconds until every answer is right again.

    Raises:
        NotMeasured: the process that draws is the whole server.
        MeasureError: the server did not become well again.
    """
    victim = drawing_process(server)
    if victim.pid == server.pid:
        raise NotMeasured("the process that draws is the whole server, which nothing starts again")
    os.kill(victim.pid, signal.SIGKILL)
    began = time.perf_counter()
    well_at, right = began, 0
    while right < IN_A_ROW:
        if time.perf_counter() > began + WELL_WITHIN_S:
            raise MeasureError(f"it was not well within {WELL_WITHIN_S:g} s of the kill")
        try:
            require_right(server.requests, server.url, 1, ASKED_FOR_S)
        except (OSError, ValueError, WrongAnswer):
            right = 0
            time.sleep(PAUSE_S)
            continue
        right += 1
        if right == 1:
            well_at = time.perf_counter()
    return {KILLED: well_at - began}


def drawing_process(server: Running) -> processes.Process:
    """Return the process that draws: of those with a runtime, the one that works hardest for it.

    Raises:
        MeasureError: no process has a runtime.
    """
    drawing = [each for each in processes.family(server.pid) if processes.draws(each)]
    before = processes.cpu_s(drawing)
    call = server.requests.of_seed(11, 64)
    for _ in range(8):
        call.answer(server.url)
    after = processes.cpu_s(drawing)
    if not after:
        raise MeasureError("no process of the server has loaded a runtime")
    return max(after, key=lambda each: after[each] - before[each])


def beside_slow_readers(server: Running, seconds: int) -> dict[str, float]:
    """Return the p99 in milliseconds of single images beside callers that read slowly."""
    with slow_readers(server.url, server.requests):
        script = server.requests.script(SINGLES)
        text, _ = rates.asked(server.url, SINGLES, seconds, script, None)
    return {SLOW: rates.percentile_ms(text, 99)}


@contextmanager
def slow_readers(url: str, requests: Requests) -> Iterator[None]:
    """Hold callers that ask for 64 images and take a few bytes a second, while the block runs."""
    place = urlsplit(url)
    over = threading.Event()
    readers = [_reader(place.hostname or "", place.port or 80) for _ in range(READERS)]

    def read() -> None:
        while not over.wait(1.0):
            for reader in readers:
                with suppress(OSError):  # nothing is there yet, or the server ended it
                    reader.recv(TAKEN)

    thread = threading.Thread(target=read)
    try:
        for number, reader in enumerate(readers):
            reader.sendall(requests.of_seed(number * 64, 64).raw(place.netloc))
            reader.setblocking(False)
        thread.start()
        yield
    finally:
        over.set()
        if thread.ident:
            thread.join()
        for reader in readers:
            reader.close()


def _reader(host: str, port: int) -> socket.socket:
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    reader.settimeout(ASKED_FOR_S)
    reader.connect((host, port))
    return reader
