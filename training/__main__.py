"""Train the generator of cars: ``python -m training --out build/runs/NAME``."""

import argparse
import os
import sys
from pathlib import Path

from training.config import AUGMENTATIONS, DEFAULTS, STRATEGIES, TrainConfig
from training.data import SIZES, SOURCES, SPLITS, VIEWS, DataError, load_images
from training.run_directory import RunDirectoryError, held


def _names(text: str) -> tuple[str, ...]:
    """Return the names in ``text``, separated by commas; none for nothing."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def parse(argv: list[str] | None = None) -> TrainConfig:
    """Return the settings on the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m training",
        description="Train a DCGAN on photographs of cars. Run it again to go on where it stopped.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--out", type=Path, required=True, help="run directory, e.g. build/runs/first")
    add("--data", help=f"data set: {', '.join(SOURCES)}")
    add("--data-path", type=Path, help="folder that holds the data set already")
    add("--size", type=int, choices=SIZES, help="pixels on each side of an image")
    add(
        "--crop-margin", type=float, help="margin around a car's box, a fraction of its longer side"
    )
    add("--split", choices=SPLITS, help="part of the data set, where it has parts")
    add("--views", choices=VIEWS, help="views of compcars-web; front-side adds to front")
    add("--limit-images", type=int, help="train on the first so many images only")
    add("--epochs", type=int, help="epochs in all, those before a restart counted in")
    add("--batch-size", type=int, help="images a step")
    add("--seed", type=int, help="decides every random number of the run")
    add("--learning-rate", type=float, help="Adam's step size")
    rate = "--discriminator-learning-rate"
    add(
        rate,
        type=float,
        metavar="RATE",
        help="learning rate of this network; None: --learning-rate",
    )
    add("--decay-from", type=int, metavar="EPOCH", help="last epoch before both rates fall, evenly")
    add(
        "--decay-to",
        type=int,
        metavar="EPOCH",
        help="epoch at whose end they are 0; 0 and 0: never",
    )
    add("--beta-1", type=float, help="Adam's first-moment decay")
    add("--label-smoothing", type=float, help="real images are labelled 1 minus this")
    add("--flip", action=argparse.BooleanOptionalAction, help="mirror half of the photographs")
    kinds = ",".join(AUGMENTATIONS)
    add("--augment", type=_names, metavar="KINDS", help=f"what the discriminator sees: {kinds}")
    add("--r1-weight", type=float, help="weight of the gradient penalty on photographs; 0: none")
    add("--ema-decay", type=float, help="decay a step of the averaged generator; 0: no average")
    add("--statistics-passes", type=int, help="passes of 256 latents for the exported statistics")
    policies = ("auto", "float32", "mixed_bfloat16", "mixed_float16")
    add("--precision", choices=policies, help="auto takes what the hardware is fast at")
    add("--strategy", choices=STRATEGIES, help="mirrored takes all GPUs, single the first")
    add("--swd-every", type=int, help="epochs between two measurements; 0: export the last epoch")
    add("--swd-images", type=int, help="drawn images, and photographs, of a measurement")
    parser.set_defaults(**DEFAULTS)
    try:
        return TrainConfig(**vars(parser.parse_args(argv)))
    except ValueError as error:
        parser.error(str(error))


def main(argv: list[str] | None = None) -> int:
    """Train as the command line says; return the exit status."""
    config = parse(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        with held(config.out):
            return _train(config)
    except (RunDirectoryError, OSError) as error:
        return _failed(error)


def _train(config: TrainConfig) -> int:
    from training.callbacks import Diverged  # the import of TensorFlow takes seconds
    from training.interrupt import Stopped
    from training.trainer import train

    try:
        images = load_images(
            config.data,
            config.data_path,
            config.limit_images,
            size=config.size,
            crop_margin=config.crop_margin,
            split=config.split,
            views=config.views,
        )
        print(f"{len(images)} photographs of {config.data}", flush=True)
        saved_model = train(config, images, progress=sys.stdout.isatty())
    except (DataError, RunDirectoryError, Diverged, OSError) as error:
        return _failed(error)
    except (Stopped, KeyboardInterrupt) as stop:
        told = str(stop) or "stopped"
        print(f"\n{told}; the same command goes on from the last finished epoch", file=sys.stderr)
        return 130
    print(f"done: {saved_model}")
    return 0


def _failed(error: Exception) -> int:
    print(f"error: {error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
