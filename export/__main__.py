"""Make a bundle of a trained generator: ``python -m export SOURCE --name cars-dcgan``."""

import argparse
import os
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from export.config import LAYOUTS, NEXT, ExportConfig, SourceOptions
from export.errors import ExportError
from server.bundle.errors import BundleError
from server.bundle.latents import RULES

DESCRIPTION = """\
Convert a Keras generator to ONNX, prove on this host that the two draw the same images, and
write the bundle that the server loads: MODELS/NAME/VERSION. Where they differ by more than the
stated limits, say where, write nothing, and end with status 1."""
EXAMPLES = """\
examples:
  python -m export build/runs/first --name cars-dcgan --version 1
  python -m export faces.keras --name faces
  python -m export digits.h5 --name digits --latents uniform
  python -m export pets.keras --name pets --class-names cat,dog

A generator takes latents, and a class if it is a conditional one: as an index or a one-hot vector
in a second input, which its file tells, or as a one-hot vector at the end of the latents, which no
file tells: give --classes then.
SavedModels and custom classes are programs that run on this host: take them from people you
trust."""


def parse(argv: list[str] | None = None) -> ExportConfig:
    """Return the settings on the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m export",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "source",
        type=Path,
        help="run directory of the training, .keras or .h5 file of Keras 3 or 2, or SavedModel",
    )
    add("--name", required=True, help="the model's name in URLs, e.g. cars-dcgan")
    add(
        "--version",
        default=NEXT,
        help="whole number from 1 on; the server serves the highest (default: the next one)",
    )
    models = ExportConfig.models
    add("--models", type=Path, default=models, help=f"model repository (default: {models})")
    add("--force", action="store_true", help="replace the version if it is there already")
    add_options(parser)
    given = vars(parser.parse_args(argv))
    of_source: dict[str, Any] = {x.name: given.pop(x.name) for x in fields(SourceOptions)}
    of_source["custom"] = tuple(of_source["custom"])
    if of_source["image_range"]:
        of_source["image_range"] = tuple(of_source["image_range"])
    try:
        of_source["class_names"] = _names(of_source["class_names"])
        return ExportConfig(**given, options=SourceOptions(**of_source))
    except (ValueError, OSError) as error:
        parser.error(str(error))


def _names(given: str) -> tuple[str, ...]:
    """Return the names of classes in ``given``: a list with commas, or a file with one a line."""
    if not given:
        return ()
    lines = given.split(",") if "," in given else Path(given).read_text("utf-8").splitlines()
    return tuple(name.strip() for name in lines if name.strip())


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for a generator from elsewhere; run.json has all of a training run."""
    add = parser.add_argument_group("for a generator from elsewhere").add_argument
    add(
        "--range",
        dest="image_range",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="range in which it draws: -1 1, 0 1 or 0 255 (default: what its last layers say)",
    )
    add(
        "--latents",
        choices=[*RULES],
        help="latents on which it was trained: standard normal (default), or uniform in [-1, 1]",
    )
    add(
        "--layout",
        choices=LAYOUTS,
        help="place of the channels in its images (default: where there are 1, 3 or 4 of them)",
    )
    add(
        "--custom",
        action="append",
        default=[],
        metavar="MODULE:NAME",
        help="a custom class or function in it, as module:Name or path/to/file.py:Name, whose code "
        "then runs; once for each",
    )
    add(
        "--classes",
        type=int,
        default=0,
        metavar="N",
        help="number of classes of a conditional generator, where its inputs do not tell",
    )
    add(
        "--class-names",
        default="",
        metavar="NAMES",
        help="their names, with commas between, or a file with one a line (default: numbers)",
    )
    add(
        "--class-in",
        default="",
        metavar="INPUT",
        help="name of the input that takes the class; if there is but one, end or start, the place "
        "of the one-hot vector beside the latents (default: end)",
    )
    add(
        "--unsafe",
        action="store_true",
        help="load Lambda layers, which runs the Python code that is stored in the file",
    )


def main(argv: list[str] | None = None) -> int:
    """Export as the command line says; return the exit status."""
    config = parse(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        from export.pipeline import export  # --help need not wait for the import of ONNX

        bundle = export(config, say=lambda line: print(line, flush=True))
    except (ExportError, BundleError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; nothing was written", file=sys.stderr)
        return 130
    print(f"done: {bundle}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
