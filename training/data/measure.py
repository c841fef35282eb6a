"""Measure how fast photographs are prepared on this host: ``python -m training.data.measure``.

The program writes JPEGs of one megapixel first: CIFAR-10's cars, enlarged and with a camera's
noise, so that they compress like photographs.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from training.data import cifar10, folder
from training.data.layout import Photo
from training.data.workers import prepare_all, processors

WIDTH, HEIGHT = 1152, 864
NOISE = 6.0
"""The noise's standard deviation in grey levels, with which a file has about 2 bits a pixel."""
QUALITY = 90
GOAL = 44_000
"""The number of photographs for which a time is told: that of CompCars surveillance-nature."""


def write_photographs(out: Path, count: int) -> int:
    """Write ``count`` JPEGs into ``out``; return their total size in bytes."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, NOISE, (16, HEIGHT, WIDTH, 1)).astype(np.float32)
    for n, car in enumerate(cifar10.load(limit=count)):
        large = Image.fromarray(car).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
        pixels = np.clip(np.asarray(large) + noise[n % len(noise)], 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(out / f"{n:05}.jpg", quality=QUALITY)
    return sum(file.stat().st_size for file in out.iterdir())


def main(argv: list[str] | None = None) -> None:
    """Measure as the command line says, and print the rates."""
    parser = argparse.ArgumentParser(prog="python -m training.data.measure", description=__doc__)
    parser.add_argument("--photographs", type=int, default=2000)
    parser.add_argument("--size", type=int, nargs="+", default=[32, 64, 128])
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as out:
        size = write_photographs(Path(out), args.photographs)
        photos = folder.photos(Path(out))
        print(f"{len(photos)} JPEGs of {WIDTH}x{HEIGHT}, {size / len(photos) / 1e3:.0f} kB each")
        for side in args.size:
            print(f"size {side}: {rate(photos, side)}", flush=True)


def rate(photos: list[Photo], size: int) -> str:
    """Return a text with the rate at which ``photos`` are prepared, and their processor time."""
    began, spent = time.perf_counter(), _processor_s()
    done = sum(1 for result in prepare_all(photos, size, 0.0, processors()) if not result.fault)
    wall_s, spent = time.perf_counter() - began, _processor_s() - spent
    return (
        f"{done / wall_s:.0f} photographs/s in {processors()} processes, {GOAL:,} in "
        f"{GOAL * wall_s / done / 60:.1f} min; {1e3 * spent / done:.1f} ms of processor time each"
    )


def _processor_s() -> float:
    """Return the processor seconds of this process and of its child processes that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


if __name__ == "__main__":
    main()
