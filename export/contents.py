"""The contents of a bundle: graphs, golden images, samples, parity results and the manifest."""

import hashlib
import json
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from export.bench import Rate
from export.config import ExportConfig
from export.convert import IMAGES, LATENTS, OPSET, write_onnx
from export.directions import find_directions
from export.figures import with_figures
from export.gradient.proof import prove_by_tensorflow
from export.gradient.reference import vjp_apart
from export.gradient.ship import Shipped, write_gradient
from export.head import cut_head
from export.lineage import lineage
from export.page import page
from export.parity import GOLDEN_PLAN
from export.pictures import grid, sheet_of
from export.probes import golden_seeds
from export.quality import evaluation_of
from export.report import Report
from export.rows import RowFacts
from export.run import Run
from export.tolerances import GOLDEN_LEVELS
from export.variants.trial import Trial
from server.bundle.files import file_facts, golden_file, load_bundle
from server.bundle.latents import RULES
from server.bundle.manifest import (
    FLOATS,
    SCHEMA_VERSION,
    FileFacts,
    Golden,
    GraphFacts,
    ImageFacts,
    LatentsFacts,
    Manifest,
    Variant,
    write_manifest,
)
from server.bundle.manifest_values import COLORS
from server.runtime.plans import VARIANT

MODEL_FILE = "generator.onnx"
FLOATS_FILE = "generator-float.onnx"
"""The file of the graph without its uint8 head. As a second output of ``MODEL_FILE`` these images
would cost OpenVINO in bf16 an eighth of its speed, even where nobody asks for them."""
GOLDEN_FILE = "golden.npy"
REPORT_FILE = "report.html"
PARITY_FILE = "parity.json"
SAMPLES_FILE = "samples.png"


@dataclass
class Proven:
    """One form of the graph, with the results of its parity check."""

    rewrite: str
    """The names of the rewrites that made it, or ``none``."""
    model: Path
    """The ONNX file with the uint8 head."""
    report: Report
    rates: list[Rate] = field(default_factory=list)
    """The rates of this form and of the converter's graph on this host."""
    trials: list[Trial] = field(default_factory=list)
    """The trials of the other precisions."""


def write_contents(draft: Path, proven: Proven, run: Run, config: ExportConfig) -> Shipped:
    """Fill ``draft`` with the bundle, the manifest last, and read it back as the server does.

    What became of the gradient is returned.
    """
    report = proven.report
    images = report.images(GOLDEN_PLAN)  # golden seeds first, then seed 0, 1, 2, ...
    golden = images[: len(golden_seeds(len(run.classes)))]
    shutil.copyfile(proven.model, draft / MODEL_FILE)
    for trial in proven.trials:
        if trial.shipped:
            write_variant(trial, draft)
    floats = cut_head(onnx.load(str(proven.model)))
    write_onnx(floats, draft / FLOATS_FILE)
    np.save(draft / GOLDEN_FILE, golden)
    columns, rows, _ = sheet_of(run.image_shape)
    samples = images[len(golden) :][: columns * rows]
    grid(samples).save(draft / SAMPLES_FILE)
    facts_of_rows = RowFacts(run.latent_dim, run.distribution, len(run.classes))
    gradient = _gradient(draft, proven, run, facts_of_rows)
    facts = report.facts()
    facts["gradient"] = gradient.facts()
    facts["candidates"] = {trial.candidate.name: trial.facts() for trial in proven.trials}
    (draft / PARITY_FILE).write_text(json.dumps(facts, indent=2) + "\n")
    title = f"{config.name} {config.version}"
    evaluation = {} if run.source else evaluation_of(run.saved_model.parent)
    told = page(title, proven.rewrite, report, proven.rates, proven.trials)
    (draft / REPORT_FILE).write_text(with_figures(told, evaluation))
    files = {path.name: file_facts(path) for path in sorted(draft.iterdir())}
    manifest = _manifest(config, run, proven, golden, files)
    if gradient.variant:
        manifest = replace(manifest, variants=[*manifest.variants, gradient.variant])
    directions = find_directions(floats, facts_of_rows)
    write_manifest(replace(manifest, directions=directions, evaluation=evaluation), draft)
    load_bundle(draft)
    return gradient


def _gradient(draft: Path, proven: Proven, run: Run, facts: RowFacts) -> Shipped:
    """Write the graph of the gradient, held against TensorFlow's, if there can be one."""

    def prove(path: Path, floats: onnx.ModelProto) -> dict[str, Any]:
        vjp = vjp_apart(run.saved_model, run.image_range)
        return prove_by_tensorflow(path, floats, facts, vjp)

    shipped = Variant(FLOATS, FLOATS_FILE, "float32", proven.rewrite, {})
    return write_gradient(draft, shipped, len(run.classes), prove)


def write_variant(trial: Trial, draft: Path) -> None:
    """Write the graph of a candidate and, if its bytes are the same anywhere, golden images."""
    shutil.copyfile(trial.model, draft / trial.model.name)
    if trial.candidate.same_bytes:
        drawn = trial.report.images(trial.report.plans[0].plan)
        np.save(draft / golden_file(trial.candidate.name), drawn[: len(golden_seeds())])


def _manifest(
    config: ExportConfig,
    run: Run,
    proven: Proven,
    golden: NDArray[np.uint8],
    files: dict[str, FileFacts],
) -> Manifest:
    facts = proven.report.facts()
    parity = {"float_difference": facts["float_difference"], "plans": facts["plans"]}
    floats = {"float_difference": facts["float_difference"]}
    return Manifest(
        schema_version=SCHEMA_VERSION,
        name=config.name,
        version=config.version,
        latents=LatentsFacts(run.latent_dim, run.distribution, RULES[run.distribution]),
        image=ImageFacts(list(run.image_shape), "uint8", [0, 255], COLORS[run.image_shape[2]]),
        graph=GraphFacts(LATENTS, IMAGES, OPSET),
        variants=[
            Variant(
                VARIANT,
                MODEL_FILE,
                "float32",
                proven.rewrite,
                parity,
                sorted(proven.report.refused),
                least_rows=proven.report.least_rows(),
            ),
            Variant(FLOATS, FLOATS_FILE, "float32", proven.rewrite, floats),
            *(variant_of(trial) for trial in proven.trials if trial.shipped),
        ],
        golden=Golden(
            seeds=golden_seeds(len(run.classes)),
            sha256=[hashlib.sha256(image.tobytes()).hexdigest() for image in golden],
            file=GOLDEN_FILE,
            tolerance=GOLDEN_LEVELS,
        ),
        files=files,
        lineage=lineage(run),
        classes=list(run.classes),
    )


def variant_of(trial: Trial) -> Variant:
    """Return what the manifest says of a candidate that is shipped."""
    candidate, plans = trial.candidate, trial.facts()["plans"]
    name = trial.model.name
    return Variant(
        candidate.name,
        name,
        candidate.precision,
        trial.done,
        {"plans": plans},
        plans=trial.plans,
        least_rows=trial.report.least_rows(),
    )
