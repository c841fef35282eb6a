"""A bundle's graphs in other runtimes: ``python -m export.runtimes models/NAME/VERSION``.

Each runtime is installed into a folder of its own, as the packages of ``catalog.py`` say. Then it
draws the same latents with the graph that serves and with the one of float images. Their images are
held against those of this environment's ONNX Runtime on its CPU provider, in float32.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from export.batches import run_in_batches
from export.parity import GOLDEN_PLAN
from export.probes import BATCH_SIZE
from export.runtimes.catalog import RUNTIMES, Runtime
from export.runtimes.environments import RuntimeFailed, environment
from export.runtimes.table import HEAD, notes, row
from export.runtimes.trial import ROWS, Bytes, Floats, Result, try_graph
from server.bundle.errors import BundleError
from server.bundle.files import load_bundle
from server.bundle.latents import latents_range
from server.bundle.manifest import FLOATS
from server.runtime.plans import VARIANT
from server.runtime.session import Session

CACHE = Path("build/runtimes")


def main(argv: list[str] | None = None) -> int:
    """Try the runtimes as the command line says, and print the table; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m export.runtimes",
        description="Draw with a bundle's graphs in other runtimes, and print what came of it.",
        epilog="example: python -m export.runtimes models/cars-dcgan/2 --only tract --only MNN",
    )
    add = parser.add_argument
    add("bundle", type=Path, help="directory of the bundle, e.g. models/cars-dcgan/2")
    names = [runtime.name for runtime in RUNTIMES]
    add("--only", action="append", choices=names, metavar="NAME", help=f"one of {', '.join(names)}")
    cache_help = f"folder for the runtimes, gigabytes in all (default: {CACHE})"
    add("--cache", type=Path, default=CACHE, metavar="DIR", help=cache_help)
    options = parser.parse_args(argv)
    try:
        bundle = load_bundle(options.bundle)
        graphs = {x: bundle.path / bundle.manifest.variant(x).file for x in (VARIANT, FLOATS)}
        options.cache.mkdir(parents=True, exist_ok=True)
    except (BundleError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    latents = latents_range(0, ROWS, bundle.manifest.latents.dim)
    wanted = run_in_batches(Session(graphs[VARIANT], GOLDEN_PLAN, 1), latents, BATCH_SIZE)
    print(HEAD)
    told = []
    for runtime in RUNTIMES:
        if runtime.name in (options.only or names):
            results = _try(runtime, options.cache, list(graphs.values()), latents, wanted)
            for line in row(runtime, results):
                print(line, flush=True)
            told += notes(runtime, results)
    print("\n".join(["", *told]))
    return 0


def _try(
    runtime: Runtime, cache: Path, graphs: list[Path], latents: Floats, wanted: Bytes
) -> dict[str, Result]:
    """Return the results of ``runtime`` by the name of the graph's file."""
    try:
        folder = environment(runtime, cache)
    except RuntimeFailed as error:
        return {graph.name: Result(failure=f"not installed: {error}") for graph in graphs}
    return {
        graph.name: try_graph(runtime, folder, graph, np.ascontiguousarray(latents), wanted)
        for graph in graphs
    }


if __name__ == "__main__":
    sys.exit(main())
