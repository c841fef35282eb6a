"""How fast a server answers under the loads of wrk, and the CPU time that an image takes."""

import re
import tempfile
from pathlib import Path

from loadtests import wrk
from loadtests.compare import processes
from loadtests.peers.requests import Requests
from loadtests.readings import MeasureError, one

LOADS = (
    wrk.Load("1 connection", 1, 1),
    wrk.Load("32 connections", 32, 1),
    wrk.Load("128 connections", 128, 1),
    wrk.Load("64 images a request", 16, 64),
)
BESIDE = wrk.Load("beside bulk", 8, 1, wrk.Load("bulk", 4, 64))
CPU = {"32 connections": "CPU of singles", "64 images a request": "CPU of 64 a request"}
"""The columns of the CPU time of an image, by the loads under which it is measured."""
LEAST_BYTES = 1024
"""The bytes that no answer with an image of 32x32 has less of, however it is encoded."""
READ = re.compile(r"(\d+) requests in \S+, ([\d.]+)([KMGT]?)B read")


def measured(
    url: str, load: wrk.Load, seconds: int, requests: Requests, server: int | None = None
) -> dict[str, float]:
    """Return a server's result under ``load``: a latency for one connection, else a rate.

    With the id of the process ``server``, the CPU time of an image in microseconds is there too.
    """
    text, cpu_s = asked(url, load, seconds, requests.script(load), server)
    if load.connections == 1:
        return {load.name: percentile_ms(text, 50)}
    found = {load.name: float(one(r"Requests/sec:\s+([\d.]+)", text)) * load.images}
    if server and load.name in CPU:
        found[CPU[load.name]] = cpu_s / (answers(text, load.images) * load.images) * 1e6
    return found


def asked(
    url: str, load: wrk.Load, seconds: int, script: str, server: int | None
) -> tuple[str, float]:
    """Put ``load`` on a server; return what wrk says, and the CPU seconds that the server spent.

    Raises:
        MeasureError: a request failed, or none was answered.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = wrk.command_for(load, Path(folder), script)
        wrk.run([*command, "-d1s", url])  # this run warms the server up
        before = processes.cpu_s(processes.family(server)) if server else {}
        text = wrk.run([*command, f"-d{seconds}s", url])
        after = processes.cpu_s(processes.family(server)) if server else {}
    answers(text, load.images)  # without any, all percentiles would be 0
    return text, processes.spent_s(before, after)


def answers(text: str, images: int) -> int:
    """Return how many answers wrk has got, each of so many images.

    Raises:
        MeasureError: there was none, or they are too small to hold the images.
    """
    found = READ.search(text)
    count = int(found[1]) if found else 0
    if not found or not count:
        raise MeasureError(f"no request was answered: {text.strip()}")
    size = float(found[2]) * 1024 ** " KMGT".index(found[3] or " ")
    if size / count < images * LEAST_BYTES:
        raise MeasureError(f"{count} answers of {images} images have {size:.0f} bytes in all")
    return count


def beside_bulk(url: str, seconds: int, requests: Requests) -> dict[str, float]:
    """Return the p99 in milliseconds of single images beside callers of 64 at a time."""
    assert BESIDE.beside
    with tempfile.TemporaryDirectory() as folder:
        bulk = wrk.command_for(BESIDE.beside, Path(folder), requests.script(BESIDE.beside))
        with wrk.running([*bulk, f"-d{seconds + 3}s", url]):
            text, _ = asked(url, BESIDE, seconds, requests.script(BESIDE), None)
    return {BESIDE.name: percentile_ms(text, 99)}


def percentile_ms(text: str, percent: int) -> float:
    """Return a percentile of the latency, in milliseconds, of what wrk says."""
    return wrk.milliseconds(one(wrk.PERCENTILE.format(percent), text))
