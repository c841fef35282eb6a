"""What more HTTP workers, larger batches, more connections and larger images change.

Each point has a server of its own, and the points are measured in turns, round by round. The models
of larger images draw in next to no time: what they show is the server's own part. It needs ``wrk``.

    python -m loadtests.scaling --python .venvs/serve/bin/python --small-models build/small-models
"""

import argparse
import shlex
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from loadtests import wrk
from loadtests.readings import MeasureError, one, save
from loadtests.serving import ServerFailed, serving

WARM_S = 4.0
"""The seconds after its start in which a server opens its other sessions."""


@dataclass(frozen=True)
class Point:
    """One setting of one sweep."""

    sweep: str
    name: str
    load: wrk.Load
    settings: dict[str, str] = field(default_factory=dict)


def points(small_models: Path | None) -> list[Point]:
    """Return all points; those of other image sizes only where ``small_models`` has their models.

    Each folder in it is a model repository whose name is the image's size.
    """
    singles = wrk.Load("single PNGs", 32, 1)
    many = wrk.Load("64 images a request", 16, 64)
    found = [
        Point("HTTP workers, single PNGs over 32 connections", str(count), singles,
              {"CARFRONT_WORKERS": str(count)})
        for count in (1, 2, 4)
    ]  # fmt: skip
    found += [
        Point("largest batch, 64 images a request over 16 connections", str(rows), many,
              {"CARFRONT_MAX_BATCH_SIZE": str(rows)})
        for rows in (1, 4, 16, 64)
    ]  # fmt: skip
    found += [
        Point("connections, single PNGs", str(count), wrk.Load("single PNGs", count, 1))
        for count in (1, 8, 32, 128)
    ]
    sizes = sorted(small_models.iterdir(), key=lambda path: int(path.name)) if small_models else []
    found += [
        Point("pixels a side, single PNGs over 32 connections, no inference to speak of",
              folder.name, singles, {"CARFRONT_MODELS": str(folder.absolute())})
        for folder in sizes
    ]  # fmt: skip
    return found


def main(argv: list[str] | None = None) -> int:
    """Measure as the command line says; return the exit status."""
    args = parser().parse_args(argv)
    sweeps: dict[str, dict[str, list[dict[str, float]]]] = {}
    try:
        wrk.require()
        all_points = points(args.small_models)
        for number in range(1, args.rounds + 1):
            for point in all_points:
                reached = measured(point, args.python, args.seconds)
                sweeps.setdefault(point.sweep, {}).setdefault(point.name, []).append(reached)
                told = f"{reached['images_per_s']:,.0f} images/s"
                print(f"round {number}: {point.sweep}: {point.name}: {told}", flush=True)
    except (MeasureError, ServerFailed) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if args.save:
        command = shlex.join(["python", "-m", "loadtests.scaling", *(argv or sys.argv[1:])])
        save(args.save, command, {"sweeps": sweeps})
    return 0


def measured(point: Point, python: str, seconds: int) -> dict[str, float]:
    """Return what a point reaches."""
    with tempfile.TemporaryDirectory() as folder, serving(python, point.settings) as server:
        time.sleep(WARM_S)
        command = wrk.command_for(point.load, Path(folder))
        wrk.run([*command, "-d1s", server.url])  # this run warms the server up
        text = wrk.run([*command, f"-d{seconds}s", server.url])
    return {
        "images_per_s": float(one(r"Requests/sec:\s+([\d.]+)", text)) * point.load.images,
        "p50_ms": wrk.milliseconds(one(wrk.PERCENTILE.format(50), text)),
        "p99_ms": wrk.milliseconds(one(wrk.PERCENTILE.format(99), text)),
    }


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    found = argparse.ArgumentParser(
        prog="python -m loadtests.scaling",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    found.add_argument("--rounds", type=int, default=3, help="rounds (3)")
    found.add_argument("--seconds", type=int, default=5, help="seconds of each load (5)")
    found.add_argument("--python", default=sys.executable, help="the serving interpreter")
    found.add_argument(
        "--small-models", type=Path, help="a folder of model repositories, named by image size"
    )
    found.add_argument("--save", type=Path, help="write the result there as JSON")
    return found


if __name__ == "__main__":
    sys.exit(main())
