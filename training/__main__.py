"""Train the generator of cars: ``python -m training --out build/runs/NAME``."""

import argparse
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import NoReturn

from training.cluster import ALONE, Cluster, ClusterError, read_cluster
from training.config import AUGMENTATIONS, DEFAULTS, LOSSES, STRATEGIES, TrainConfig
from training.data import SIZES, SOURCES, SPLITS, VIEWS, DataError, load_images
from training.quiet import import_tensorflow
from training.run_directory import RunDirectoryError, held

WRONG, LOST = 2, 75
"""The exit statuses of a command that is wrong, and of one that ends because another worker did."""
EXAMPLES = """\
examples: python -m training --out build/runs/first --epochs 60
          python -m training --out build/runs/first --epochs 60 --choose-by features"""


class _Help(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows every setting's default, and the examples line by line."""


def _names(text: str) -> tuple[str, ...]:
    """Return the names in ``text``, separated by commas; none for nothing."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def parse(argv: list[str] | None = None) -> TrainConfig:
    """Return the settings on the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m training",
        description="Train a DCGAN on photographs of cars. Run it again to go on where it stopped.",
        epilog=EXAMPLES,
        formatter_class=_Help,
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
        help="epoch at whose end they are 0; 0: the last one, or never without --decay-from",
    )
    add("--beta-1", type=float, help="Adam's first-moment decay")
    add("--loss", choices=LOSSES, help="loss of both networks")
    add("--label-smoothing", type=float, help="real images are labelled 1 minus this")
    add("--flip", action=argparse.BooleanOptionalAction, help="mirror half of the photographs")
    kinds = ",".join(AUGMENTATIONS)
    add("--augment", type=_names, metavar="KINDS", help=f"what the discriminator sees: {kinds}")
    add("--r1-weight", type=float, help="weight of the gradient penalty on photographs; 0: none")
    add("--r1-every", type=int, metavar="STEPS", help="steps from one penalty to the next, e.g. 16")
    add("--ema-decay", type=float, help="decay a step of the averaged generator; 0: no average")
    add("--statistics-passes", type=int, help="passes of 256 latents for the exported statistics")
    policies = ("auto", "float32", "mixed_bfloat16", "mixed_float16")
    add("--precision", choices=policies, help="auto takes what the hardware is fast at")
    strategies = "mirrored takes all GPUs, single the first, multi-worker those of all machines"
    add("--strategy", choices=STRATEGIES, help=strategies)
    add("--swd-every", type=int, help="epochs between two measurements; 0: export the last epoch")
    add("--swd-images", type=int, help="drawn images, and photographs, of a measurement")
    by = "exported epoch: the best by swd or by features, or the number of one that was kept"
    add("--choose-by", metavar="MEASURE", help=by)
    add(
        "--keep-every", type=int, metavar="EPOCHS", help="epochs between two averages that are kept"
    )
    parser.set_defaults(**DEFAULTS)
    try:
        return TrainConfig(**vars(parser.parse_args(argv)))
    except ValueError as error:
        parser.error(str(error))


def main(argv: list[str] | None = None) -> int:
    """Train as the command line says; return the exit status."""
    config = parse(argv)
    try:
        cluster = read_cluster(os.environ) if config.strategy == "multi-worker" else ALONE
        with held(config.out) if cluster.is_chief else nullcontext():
            status = _train(config, cluster)
            return _leave(status) if status and cluster.workers > 1 else status
    except ClusterError as error:
        return _failed(error, WRONG)
    except (RunDirectoryError, OSError) as error:
        return _failed(error)


def _train(config: TrainConfig, cluster: Cluster) -> int:
    import_tensorflow()  # it takes seconds
    from training.callbacks import Diverged
    from training.exchange import WorkerLost
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
        if cluster.workers > 1:
            print(f"worker {cluster.index}, with {', '.join(cluster.addresses)}", flush=True)
        saved_model = train(config, images, sys.stdout.isatty() and cluster.is_chief, cluster)
    except ClusterError as error:
        return _failed(error, WRONG)
    except WorkerLost as error:
        return _failed(error, LOST)
    except (DataError, RunDirectoryError, Diverged, OSError) as error:
        return _failed(error)
    except (Stopped, KeyboardInterrupt) as stop:
        told = str(stop) or "stopped"
        print(f"\n{told}; the same command goes on from the last finished epoch", file=sys.stderr)
        return 130
    print(f"done: {saved_model}" if cluster.is_chief else "done; the chief has the model")
    return 0


def _leave(status: int) -> NoReturn:
    """End the process at once: TensorFlow's own end waits most of a minute for lost workers."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _failed(error: Exception, status: int = 1) -> int:
    print(f"error: {error}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
