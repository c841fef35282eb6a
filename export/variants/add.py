"""Add a variant to a bundle, of its own float graph, as the bundle's next version.

``python -m export.variants.add models/NAME/VERSION exact --version NEXT`` tries the variant as an
export does. The SavedModel is not needed: the reference is the bundle's float graph, in float32 on
ONNX Runtime's own provider, which the export has compared with it.

The variant ``gradient`` is proven by differences in float64. It draws nothing, and all other files
keep their bytes: ``--version`` may name the bundle's own, with ``--force``.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from export.canonical import canonical
from export.config import ExportConfig
from export.contents import PARITY_FILE, REPORT_FILE, variant_of, write_variant
from export.convert import IMAGES, LATENTS, finish
from export.errors import ExportError
from export.gradient.proof import prove_by_differences
from export.gradient.ship import write_gradient
from export.page import section
from export.probes import make_probes
from export.rewrites.graph import Graph
from export.rewrites.halves import without_halves
from export.rows import RowFacts
from export.variants import CANDIDATES
from export.variants.trial import Bench, Trial, try_out
from export.write import draft_of
from server.bundle.errors import BundleError
from server.bundle.files import Bundle, file_facts, load_bundle
from server.bundle.manifest import FLOATS, GRADIENT, write_manifest
from server.runtime.plans import VARIANT

ROWS = 64
ROUNDS = 5
SAYS = "the bundle's float graph in float32 on cpu, rounded half to even to uint8"


class NotAdded(ExportError):
    """The variant is not worth shipping, or the bundle has it."""


def add(bundle: Bundle, name: str, config: ExportConfig, say: Callable[[str], None]) -> Path:
    """Write the bundle with the variant ``name`` to ``config.target``, which is returned.

    Raises:
        ExportError: nothing was written; the message says why.
    """
    if bundle.manifest.classes:
        raise NotAdded(f"{bundle.path} has classes; export its generator anew for the variant")
    candidate = next(x for x in CANDIDATES if x.name == name)
    if any(variant.name == name for variant in bundle.manifest.variants):
        raise NotAdded(f"{bundle.path} has the variant {name} already; name one that has not")
    latents = bundle.manifest.latents
    facts = RowFacts(latents.dim, latents.distribution)
    size = 2 * sum(facts.size for facts in bundle.manifest.files.values())
    with (
        draft_of(config.target, config.force, size) as draft,
        tempfile.TemporaryDirectory(prefix="carfront-variant-") as scratch,
    ):
        served = bundle.path / bundle.manifest.variant(VARIANT).file
        graph = bundle.path / bundle.manifest.variant(FLOATS).file
        trial = try_out(
            candidate,
            Bench(
                plain_latents(onnx.load(str(graph))),
                served,
                _reference(graph),
                make_probes(facts.latent_dim, distribution=facts.distribution),
                len(os.sched_getaffinity(0)),
                ROUNDS,
                lambda model: model.metadata_props.extend(onnx.load(str(served)).metadata_props),
                facts,
            ),
            Path(scratch),
        )
        say(f"{trial.report.table()}\n{trial}")
        if not trial.shipped:
            raise NotAdded(f"{name} is not worth shipping: {'; '.join(trial.told)}")
        _write(bundle, trial, config, draft)
    return config.target


def add_gradient(bundle: Bundle, config: ExportConfig, say: Callable[[str], None]) -> Path:
    """Write the bundle with the graph of its gradient to ``config.target``, which is returned.

    Raises:
        ExportError: nothing was written; the message says why.
    """
    manifest = bundle.manifest
    if manifest.has_gradient:
        raise NotAdded(f"{bundle.path} has the variant {GRADIENT} already; name one that has not")
    latents = manifest.latents
    facts = RowFacts(latents.dim, latents.distribution)
    size = sum(facts.size for facts in manifest.files.values())
    with draft_of(config.target, config.force, size) as draft:
        for name in manifest.files:
            shutil.copyfile(bundle.path / name, draft / name)
        shipped = write_gradient(
            draft,
            manifest.variant(FLOATS),
            len(manifest.classes),
            lambda path, floats: prove_by_differences(path, floats, facts),
        )
        say(shipped.told)
        if shipped.variant is None:
            raise NotAdded(f"{bundle.path}: {shipped.told}")
        added = file_facts(draft / shipped.variant.file)
        files = dict(sorted({**manifest.files, shipped.variant.file: added}.items()))
        variants = [*manifest.variants, shipped.variant]
        write_manifest(
            replace(
                manifest, name=config.name, version=config.version, variants=variants, files=files
            ),
            draft,
        )
        load_bundle(draft)
    return config.target


def plain_latents(floats: onnx.ModelProto) -> onnx.ModelProto:
    """Return ``floats`` as rewrites make it without ``halves``, its output called ``images``."""
    graph = Graph(without_halves(floats))
    output = floats.graph.output[0].name
    for node in graph.nodes:
        node.output[:] = [IMAGES if name == output else name for name in node.output]
    model = graph.model()
    model.graph.output[0].name = IMAGES
    return finish(canonical(model))


def _reference(graph: Path) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    session = ort.InferenceSession(str(graph), providers=["CPUExecutionProvider"])

    def draw(latents: NDArray[np.float32]) -> NDArray[np.float32]:
        starts = range(0, len(latents), ROWS)
        runs = [session.run(None, {LATENTS: latents[i : i + ROWS]})[0] for i in starts]
        return np.concatenate(runs)

    return draw


def _write(bundle: Bundle, trial: Trial, config: ExportConfig, draft: Path) -> None:
    manifest = bundle.manifest
    for name in manifest.files:
        shutil.copyfile(bundle.path / name, draft / name)
    write_variant(trial, draft)
    facts = json.loads((draft / PARITY_FILE).read_text())
    facts["candidates"][trial.candidate.name] = {"reference": SAYS, **trial.facts()}
    (draft / PARITY_FILE).write_text(json.dumps(facts, indent=2) + "\n")
    page = (draft / REPORT_FILE).read_text()
    told = "\n".join([*section(trial), f"<p>Held against {SAYS}.</p>"])
    (draft / REPORT_FILE).write_text(page.replace("\n</body>", f"\n{told}\n</body>"))
    files = {path.name: file_facts(path) for path in sorted(draft.iterdir())}
    added = replace(
        manifest,
        name=config.name,
        version=config.version,
        variants=[*manifest.variants, variant_of(trial)],
        files=files,
        before_evaluation={},
    )
    write_manifest(added, draft)
    load_bundle(draft)


def _add(bundle: Bundle, variant: str, config: ExportConfig) -> Path:
    def say(line: str) -> None:
        print(line, flush=True)

    if variant == GRADIENT:
        return add_gradient(bundle, config, say)
    return add(bundle, variant, config, say)


def main(argv: list[str] | None = None) -> int:
    """Add the variant on the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m export.variants.add", description=__doc__)
    argument = parser.add_argument
    argument("bundle", type=Path, help="directory of the bundle, e.g. models/cars-dcgan/2")
    argument("variant", choices=[*(x.name for x in CANDIDATES), GRADIENT])
    argument("--version", required=True, help="the version that is written, beside the bundle")
    argument("--force", action="store_true", help="replace the version if it is there already")
    options = parser.parse_args(argv)
    try:
        bundle = load_bundle(options.bundle)
        models, name = options.bundle.resolve().parents[1], bundle.manifest.name
        config = ExportConfig(options.bundle, name, options.version, models, options.force)
        done = _add(bundle, options.variant, config)
    except (ExportError, BundleError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"done: {done}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
