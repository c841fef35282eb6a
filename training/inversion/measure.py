"""How well photographs are restored: ``python -m training.inversion.measure -o docs/restored``.

Ten photographs of the test split of CIFAR-10's cars are restored whole, with their right half
hidden, and with a hole. What is filled in is held against what was hidden, beside two answers that
need no generator: the mean photograph, and the photograph of the training split that is nearest
where the photograph is seen.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inversion.losses import LOSSES
from inversion.photograph import Photograph, to_bytes
from inversion.search import Settings
from training.data import load_images
from training.data.layout import DataError
from training.evaluation.runs import RunError
from training.inversion.generator import Generator
from training.invert import invert

COUNT = 10
SCALE = 2
GAP = 2
GREY = 128
"""The grey level of what is hidden, in the picture."""
Pixels = NDArray[np.uint8]


def masks(side: int) -> dict[str, NDArray[np.float32]]:
    """Return what is seen of a photograph, float32 [side, side, 1], by the name of the way."""
    whole = np.ones((side, side, 1), np.float32)
    half, hole = whole.copy(), whole.copy()
    half[:, side // 2 :] = 0
    third = side // 3
    hole[third : side - third, third : side - third] = 0
    return {"whole": whole, "half hidden": half, "a hole": hole}


def off(image: Pixels, truth: Pixels, where: NDArray[np.float32]) -> float:
    """Return the mean difference in grey levels of two images ``where`` that is 1."""
    differences = np.abs(image.astype(np.float32) - truth) * where
    return float(differences.sum() / (where.sum() * truth.shape[2]))


def nearest(photographs: Pixels, photograph: Photograph) -> Pixels:
    """Return the one of ``photographs`` that is nearest where ``photograph`` is seen."""
    seen = photograph.shown[:, :, 0] > 0
    wanted = photograph.pixels[seen].astype(np.float32)
    squares = [np.square(x[seen] - wanted).sum() for x in photographs]
    found: Pixels = photographs[int(np.argmin(squares))]
    return found


def measure(
    generator: Generator, truths: Pixels, others: Pixels, loss: str, settings: Settings
) -> tuple[dict[str, dict[str, float]], list[list[Pixels]]]:
    """Return the errors by way and by answer, and the rows of the picture."""
    mean = np.rint(others.mean(axis=0)).astype(np.uint8)
    errors: dict[str, dict[str, float]] = {}
    rows: list[list[Pixels]] = [list(truths)]
    for way, shown in masks(truths.shape[1]).items():
        where = 1 - shown if (shown == 0).any() else shown
        found: dict[str, list[float]] = {"restored": [], "mean": [], "nearest": []}
        began = time.monotonic()
        inputs, filled = [], []
        for number, truth in enumerate(truths, 1):
            photograph = Photograph(truth, shown)
            image = invert(generator, LOSSES[loss](photograph), settings).image
            answers = {"restored": to_bytes(image), "mean": mean}
            answers["nearest"] = nearest(others, photograph)
            for name, answer in answers.items():
                found[name].append(off(answer, truth, where))
            told = f"{way}, photograph {number} of {len(truths)}"
            print(f"{told}: {found['restored'][-1]:.1f} grey levels off", file=sys.stderr)
            inputs.append(np.where(shown > 0, truth, GREY).astype(np.uint8))
            filled.append(answers["restored"] if where is shown else photograph.filled(image))
        rows += [filled] if where is shown else [inputs, filled]
        errors[way] = {name: float(np.mean(values)) for name, values in found.items()}
        errors[way]["seconds"] = (time.monotonic() - began) / len(truths)
    return errors, rows


def picture(rows: list[list[Pixels]]) -> Image.Image:
    """Return the images of ``rows`` side by side, a white gap between two."""
    height, width, _ = rows[0][0].shape
    step = np.array([height, width]) + GAP
    sheet = np.full((*(step * [len(rows), len(rows[0])] - GAP), 3), 255, np.uint8)
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            y, x = step * [i, j]
            sheet[y : y + height, x : x + width] = image
    large = sheet.repeat(SCALE, axis=0).repeat(SCALE, axis=1)
    return Image.fromarray(large)


def main(argv: list[str] | None = None) -> int:
    """Measure as the command line says; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m training.inversion.measure", description=__doc__
    )
    usual = Settings()
    add = parser.add_argument
    add("--bundle", type=Path, default=Path("models/cars-dcgan/2"), help="default: %(default)s")
    add("--data-path", type=Path, help="folder that holds CIFAR-10 already")
    add("-o", "--out", required=True, metavar="NAME", help="the picture, without its suffix .png")
    add("--count", type=int, default=COUNT, help="photographs (default: %(default)s)")
    add("--skip", type=int, default=0, help="photographs left out before (default: %(default)s)")
    add("--loss", choices=[*LOSSES], default="pyramid", help="default: %(default)s")
    add("--steps", type=int, default=usual.steps, help="default: %(default)s")
    add("--restarts", type=int, default=usual.restarts, help="default: %(default)s")
    add("--prior", type=float, default=usual.prior, help="default: %(default)s")
    add("--rate", type=float, default=usual.rate, help="default: %(default)s")
    options = parser.parse_args(argv)
    try:
        generator = Generator(options.bundle)
        size = generator.shape[0]
        data = {"path": options.data_path, "size": size}
        tests = load_images("cifar10-cars", split="test", **data)
        others = load_images("cifar10-cars", split="train", **data)
    except (RunError, DataError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    every = (len(tests) - options.skip) // options.count
    truths = tests[options.skip :: every][: options.count]
    settings = Settings(options.steps, options.restarts, options.prior, options.rate)
    try:
        errors, rows = measure(generator, truths, others, options.loss, settings)
    except KeyboardInterrupt:
        print("\nstopped; nothing is written", file=sys.stderr)
        return 130
    print("| | restored | mean photograph | nearest photograph | s |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for way, found in errors.items():
        figures = (found["restored"], found["mean"], found["nearest"], found["seconds"])
        print(f"| {way} | " + " | ".join(f"{x:.1f}" for x in figures) + " |")
    picture(rows).save(f"{options.out}.png", optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
