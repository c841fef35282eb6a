"""Measure how fast photographs are prepared here: ``python -m training.data.measure``.

It writes JPEGs of one megapixel first: CIFAR-10's cars, enlarged, under the noise of a camera, so
that they compress like photographs do.
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
"""Standard deviation in grey levels; with it a file has about 2 bits a pixel."""
QUALITY = 90
GOAL = 44_000
"""Photographs, as many as CompCars surveillance-nature has."""


def write_photographs(out: Path, count: int) -> int:
    """Write ``count`` JPEGs into ``out``; return their bytes in all."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, NOISE, (16, HEIGHT, WIDTH, 1)).astype(np.float32)
    for n, car in enumerate(cifar10.load(limit=count)):
        large = Image.fromarray(car).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
        pixels = np.clip(np.asarray(large) + noise[n % len(noise)], 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(out / f"{n:05}.jpg", quality=QUALITY)
    return sum(file.stat().st_size for file in out.iterdir())


def main(argv: list[str] | None = None) -> None:
    """Measure as the command line says, and tell it."""
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
    """Return how fast the ``photos`` are prepared, and how fast where nothing else runs."""
    began, spent = time.perf_counter(), _processor_s()
    done = sum(1 for result in prepare_all(photos, size, 0.0, processors()) if not result.fault)
    wall_s, spent = time.perf_counter() - began, _processor_s() - spent
    return (
        f"{done / wall_s:.0f} photographs/s in {processors()} processes, {GOAL:,} in "
        f"{GOAL * wall_s / done / 60:.1f} min; {1e3 * spent / done:.1f} ms of processor time each"
    )


def _processor_s() -> float:
    """Return the processor time that this process and those that it has ended have taken."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


if __name__ == "__main__":
    main()
