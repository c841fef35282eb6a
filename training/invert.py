"""Restore photographs with a bundle's generator: ``python -m training.invert PHOTO... -o DIR``."""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from inversion.losses import LOSSES, Loss
from inversion.photograph import Photograph, PhotographRefused, read_photograph, to_bytes
from inversion.search import MOST_RESTARTS, MOST_STEPS, Found, Settings, search
from training.evaluation.runs import RunError
from training.inversion.generator import Generator

DESCRIPTION = """\
Find the latents whose image is nearest to a photograph, and so restore it: what is transparent, or
white in a mask, is filled in. Each photograph becomes NAME.png, the restored image;
NAME.filled.png, the photograph with only what was hidden taken from that; and NAME.npy, the
latents."""
EXAMPLE = (
    "python -m training.invert car.jpg --mask hide.png --bundle models/cars-dcgan/2 -o restored"
)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Return the settings on the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m training.invert",
        description=DESCRIPTION,
        epilog=f"example: {EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    usual = Settings()
    add = parser.add_argument
    add("photos", nargs="+", type=Path, metavar="PHOTO", help="a PNG, JPEG or WebP of any size")
    add("--bundle", type=Path, default=Path("models/cars-dcgan/2"), help="default: %(default)s")
    add("--mask", type=Path, help="picture of the same size, white where to fill in")
    add("-o", "--out", type=Path, required=True, metavar="DIR", help="folder for the results")
    add("--steps", type=int, default=usual.steps, help=f"1 to {MOST_STEPS} (default: %(default)s)")
    add("--restarts", type=int, default=usual.restarts, help=f"1 to {MOST_RESTARTS}")
    add("--prior", type=float, default=usual.prior, help="weight of probable latents")
    add("--seed", type=int, default=0, help="seed of the latents at the start")
    add("--loss", choices=[*LOSSES], default="pyramid", help="what is near (default: %(default)s)")
    add("--perceptual", type=float, default=0.0, metavar="WEIGHT", help="weight of features beside")
    add("--seconds", type=float, default=600.0, help="longest time for each photograph")
    options = parser.parse_args(argv)
    if not 1 <= options.steps <= MOST_STEPS or not 1 <= options.restarts <= MOST_RESTARTS:
        parser.error(f"wanted 1 to {MOST_STEPS} steps and 1 to {MOST_RESTARTS} restarts")
    return options


def loss_of(photograph: Photograph, name: str, perceptual: float) -> Loss:
    """Return the loss called ``name``, with a ``perceptual`` one of that weight beside it."""
    loss = LOSSES[name](photograph)
    if not perceptual:
        return loss
    from training.inversion.perceptual import with_features  # TensorFlow takes seconds to import

    return with_features(loss, photograph, perceptual)


def invert(
    generator: Generator, loss: Loss, settings: Settings, seconds: float = float("inf")
) -> Found:
    """Return the nearest image that is found in the steps, and in about so many ``seconds``."""
    until = time.monotonic() + seconds
    steps = search(
        generator.draw,
        generator.pull,
        loss,
        generator.latent_dim,
        generator.distribution,
        settings,
    )
    found = next(steps)
    while time.monotonic() < until and (following := next(steps, None)):
        found = following
    return found


def _restore(generator: Generator, options: argparse.Namespace, path: Path) -> None:
    mask = options.mask.read_bytes() if options.mask else None
    photograph = read_photograph(path.read_bytes(), generator.shape, mask)
    settings = Settings(options.steps, options.restarts, prior=options.prior, seed=options.seed)
    loss = loss_of(photograph, options.loss, options.perceptual)
    found = invert(generator, loss, settings, options.seconds)
    options.out.mkdir(parents=True, exist_ok=True)
    name = options.out / path.stem
    for suffix, image in (
        (".png", to_bytes(found.image)),
        (".filled.png", photograph.filled(found.image)),
    ):
        Image.fromarray(image.squeeze()).save(f"{name}{suffix}")
    np.save(f"{name}.npy", found.latents)
    off = photograph.distance(found.image)
    print(
        f"{path}: {off:.1f} grey levels off what is seen, {found.step} steps: {name}.png",
        flush=True,
    )


def main(argv: list[str] | None = None) -> int:
    """Restore the photographs on the command line; return the exit status."""
    options = parse(argv)
    path = None
    try:
        generator = Generator(options.bundle)
        for path in options.photos:
            _restore(generator, options, path)
    except PhotographRefused as error:
        print(f"error: {path}: {error}", file=sys.stderr)
        return 1
    except (RunError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; what is done is in the folder", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
