"""Keeps a server under full load for minutes: does it leak, does it slow down?

The load is single PNGs over 32 connections and 512 images a request over 4, both without pause.
Every second the server's own ``/metrics`` is read: the memory of each process, and the images sent
so far. The run fails when the memory of a process grows or exceeds its limit, or when the rate
falls.
"""

import argparse
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

from loadtests import readings, wrk
from loadtests.readings import MeasureError
from loadtests.serving import Server, ServerFailed, get, serving

LOADS = (
    wrk.Load("one PNG a request, 32 connections", 32, 1),
    wrk.Load("512 images a request as npy, 4 connections", 4, 512),
)
EVERY_S = 1.0
"""The seconds between two readings of the server's metrics."""
FEWEST = 3
"""The number of samples of a run at least, so that there are rates to compare."""
WARM = 0.2
"""The part of the run after which the server is warm: memory and rate should stay from then on."""
GROWTH = 1.03
"""The factor by which a process's memory may grow from the warm part of the run to the last."""
STEP_MB = 4.0
"""The growth in MB that is no leak: the allocator may take as much at a time."""
SLOWER = 0.8
"""The smallest rate of the last part of the run, as a factor of that of the warm part."""
LIMITS_MB = {"http": 90, "engine": 500}
"""The largest memory in MB of a process, by its kind."""
MEMORY = re.compile(r'carfront_process_resident_memory_bytes\{process="(.+?)"\} (\S+)')
IMAGES = re.compile(r"^carfront_images_total\{.*\} (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Sample:
    """The server at one moment."""

    second: float
    """The seconds since the load began."""
    images: float
    """The number of images sent so far."""
    memory_mb: dict[str, float]
    """The resident memory in MB of each process, by its name."""

    @classmethod
    def of(cls, server: Server, began: float) -> "Sample":
        """Read ``server`` now."""
        text = get(f"{server.url}/metrics").decode()
        memory = {name: float(value) / 1e6 for name, value in MEMORY.findall(text)}
        images = sum(float(value) for value in IMAGES.findall(text))
        return cls(time.monotonic() - began, images, memory)


def main(argv: list[str] | None = None) -> int:
    """Run the soak as the command line says; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="minutes under load (10)")
    parser.add_argument("--python", default=sys.executable, help="the serving interpreter")
    parser.add_argument("--save", type=Path, help="write SAVE.json and SAVE.svg")
    args = parser.parse_args(argv)
    try:
        wrk.require()
        with serving(args.python) as server:
            samples = list(sampled(server, args.minutes * 60))
    except (MeasureError, ServerFailed) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    faults = verdict(samples)
    print(f"{samples[-1].images:,.0f} images in {samples[-1].second:.0f} s; memory in MB:")
    for name in samples[-1].memory_mb:
        warm, last = (statistics.median(part) for part in parts([memory(x, name) for x in samples]))
        print(f"  {name:10} {warm:7.1f} when warm, {last:7.1f} at the end")
    if args.save:
        command = f"python -m loadtests.soak --minutes {args.minutes:g}"
        save(args.save, command, samples, faults)
    for fault in faults:
        print(f"fault: {fault}")
    return 1 if faults else 0


def sampled(server: Server, seconds: float) -> Iterator[Sample]:
    """Put all loads on ``server`` and yield a sample of it every second."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        for load in LOADS:
            command = [*wrk.command_for(load, Path(folder)), f"-d{int(seconds) + 60}s", server.url]
            stack.enter_context(wrk.running(command))
        began = told = time.monotonic()
        count = 0
        while (now := time.monotonic()) - began < seconds or count < FEWEST:
            yield Sample.of(server, began)
            count += 1
            if now - told >= 60:
                told = now
                print(f"{(now - began) / 60:.0f} of {seconds / 60:g} minutes", flush=True)
            time.sleep(EVERY_S)


def verdict(samples: Sequence[Sample]) -> list[str]:
    """Return a text for each fault of the run; the list is empty if it is sound."""
    faults = []
    for name in samples[-1].memory_mb:
        warm, last = (statistics.median(part) for part in parts([memory(x, name) for x in samples]))
        if last > max(GROWTH * warm, warm + STEP_MB):
            faults.append(f"{name} grew from {warm:.1f} to {last:.1f} MB")
        limit = LIMITS_MB.get(name.partition("-")[0])
        if limit and last > limit:
            faults.append(f"{name} takes {last:.1f} MB, more than {limit}")
    warm, last = (statistics.median(part) for part in parts(rates(samples)))
    if last < SLOWER * warm:
        faults.append(f"the rate fell from {warm:,.0f} to {last:,.0f} images/s")
    return faults


def memory(sample: Sample, name: str) -> float:
    """Return the memory of a process in MB, 0 if the process was not there."""
    return sample.memory_mb.get(name, 0.0)


def parts(values: Sequence[float]) -> tuple[Sequence[float], Sequence[float]]:
    """Return the part of a run in which the server was just warm, and a last part as long."""
    length = max(1, int(len(values) * WARM))
    return values[length : 2 * length] or values, values[-length:]


def rates(samples: Sequence[Sample]) -> list[float]:
    """Return the images a second between each sample and the next."""
    return [(b.images - a.images) / (b.second - a.second) for a, b in pairwise(samples)]


def save(path: Path, command: str, samples: Sequence[Sample], faults: list[str]) -> None:
    """Write the run as ``path``.json and as a picture, ``path``.svg."""
    every = max(1, len(samples) // 60)
    report = {
        "images": samples[-1].images,
        "faults": faults,
        "samples": [asdict(sample) for sample in samples[::every]],
    }
    readings.save(path.with_suffix(".json"), command, report)
    path.with_suffix(".svg").write_text(picture(samples))


WIDTH, HEIGHT, LEFT, GAP = 720, 180, 60, 40
"""The size of each chart in the picture, and the margins for its axis and its title, in pixels."""
INKS = ("#1f6feb", "#d1570b", "#2da44e", "#8250df", "#bf3989", "#57606a")


def picture(samples: Sequence[Sample]) -> str:
    """Return an SVG with two charts over time: each process's memory, and the images a second."""
    minutes = [sample.second / 60 for sample in samples]
    lines = {name: [memory(sample, name) for sample in samples] for name in samples[-1].memory_mb}
    charts = [
        _chart("memory, MB", minutes, lines, GAP),
        _chart("images a second", minutes[1:], {"": rates(samples)}, HEIGHT + 2 * GAP),
    ]
    size = f"0 0 {WIDTH + LEFT + 100} {2 * HEIGHT + 3 * GAP}"
    style = "text { font: 12px sans-serif; fill: #57606a; } polyline { fill: none; }"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{size}">\n<style>{style}</style>\n'
        f'<rect width="100%" height="100%" fill="white"/>\n{"".join(charts)}</svg>\n'
    )


def _chart(title: str, minutes: Sequence[float], lines: dict[str, list[float]], top: float) -> str:
    most = max(max(values) for values in lines.values()) * 1.1 or 1.0
    end = minutes[-1] or 1.0
    drawn = [f'<text x="{LEFT}" y="{top - 10}">{title}</text>\n']
    for part in (0, 0.5, 1):
        y = top + HEIGHT * (1 - part)
        drawn.append(
            f'<path d="M{LEFT} {y}h{WIDTH}" stroke="#d0d7de"/>'
            f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{most * part:,.0f}</text>\n'
        )
    drawn.append(
        f'<text x="{LEFT + WIDTH}" y="{top + HEIGHT + 16}" text-anchor="end">'
        f"{end:.1f} minutes</text>\n"
    )
    for ink, (name, values) in zip(INKS * len(lines), lines.items(), strict=False):
        points = " ".join(
            f"{LEFT + WIDTH * x / end:.1f},{top + HEIGHT * (1 - y / most):.1f}"
            for x, y in zip(minutes, values, strict=True)
        )
        y = top + HEIGHT * (1 - values[-1] / most)
        drawn.append(
            f'<polyline points="{points}" stroke="{ink}"/>'
            f'<text x="{LEFT + WIDTH + 6}" y="{y + 4:.1f}" style="fill: {ink}">{name}</text>\n'
        )
    return "".join(drawn)


if __name__ == "__main__":
    sys.exit(main())
