"""Make a bundle of a trained generator: ``python -m export build/runs/NAME --name cars-dcgan``."""

import argparse
import os
import sys
from pathlib import Path

from export.config import ExportConfig
from export.errors import ExportError
from server.bundle.errors import BundleError

DESCRIPTION = """\
Convert a run's SavedModel to ONNX, prove on this host that the two draw the same images, and
write the bundle that the server loads: MODELS/NAME/VERSION. Where they differ by more than the
stated limits, say where, write nothing, and end with status 1."""


def parse(argv: list[str] | None = None) -> ExportConfig:
    """Return the settings on the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m export",
        description=DESCRIPTION,
        epilog="example: python -m export build/runs/first --name cars-dcgan --version 1",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("run", type=Path, help="run directory of the training, with saved_model/ and run.json")
    add("--name", required=True, help="the model's name in URLs, e.g. cars-dcgan")
    add("--version", required=True, help="whole number from 1 on; the server serves the highest")
    models = ExportConfig.models
    add("--models", type=Path, default=models, help=f"model repository (default: {models})")
    add("--force", action="store_true", help="replace the version if it is there already")
    try:
        return ExportConfig(**vars(parser.parse_args(argv)))
    except ValueError as error:
        parser.error(str(error))


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
