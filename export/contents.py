"""The contents of a bundle: graphs, golden images, samples, parity results and the manifest."""

import hashlib
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from PIL import Image

from export.bench import Rate
from export.config import ExportConfig
from export.convert import IMAGES, LATENTS, OPSET, write_onnx
from export.head import cut_head
from export.lineage import lineage
from export.page import page
from export.parity import GOLDEN_PLAN, Report
from export.probes import GOLDEN_SEEDS
from export.run import Run
from export.tolerances import GOLDEN_LEVELS
from export.variants.trial import Trial
from server.bundle.files import file_facts, load_bundle
from server.bundle.latents import RULE
from server.bundle.manifest import (
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
from server.runtime.plans import VARIANT

MODEL_FILE = "generator.onnx"
FLOATS_FILE = "generator-float.onnx"
"""The file of the graph without its uint8 head. As a second output of ``MODEL_FILE`` these images
would cost OpenVINO in bf16 an eighth of its speed, even where nobody asks for them."""
FLOATS = "floats"
"""The variant whose output is ``images_float``, float32 in [-1, 1]."""
GOLDEN_FILE = "golden.npy"
REPORT_FILE = "report.html"
PARITY_FILE = "parity.json"
SAMPLES_FILE = "samples.png"
SAMPLES_COLUMNS, SAMPLES_ROWS = 16, 8
SAMPLES_ZOOM = 2
COLORS = {1: "grey", 3: "RGB"}
GAP = 2
"""The pixels between two samples."""


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


def write_contents(draft: Path, proven: Proven, run: Run, config: ExportConfig) -> None:
    """Fill ``draft`` with the bundle, the manifest last, and read it back as the server does."""
    report = proven.report
    images = report.images(GOLDEN_PLAN)  # golden seeds first, then seed 0, 1, 2, ...
    golden = images[: len(GOLDEN_SEEDS)]
    shutil.copyfile(proven.model, draft / MODEL_FILE)
    for trial in proven.trials:
        if trial.shipped:
            shutil.copyfile(trial.model, draft / trial.model.name)
    write_onnx(cut_head(onnx.load(str(proven.model))), draft / FLOATS_FILE)
    np.save(draft / GOLDEN_FILE, golden)
    samples = images[len(golden) :][: SAMPLES_COLUMNS * SAMPLES_ROWS]
    grid(samples).save(draft / SAMPLES_FILE)
    facts = report.facts()
    facts["candidates"] = {trial.candidate.name: trial.facts() for trial in proven.trials}
    (draft / PARITY_FILE).write_text(json.dumps(facts, indent=2) + "\n")
    title = f"{config.name} {config.version}"
    (draft / REPORT_FILE).write_text(
        page(title, proven.rewrite, report, proven.rates, proven.trials)
    )
    files = {path.name: file_facts(path) for path in sorted(draft.iterdir())}
    write_manifest(_manifest(config, run, proven, golden, files), draft)
    load_bundle(draft)


def grid(images: NDArray[np.uint8]) -> Image.Image:
    """Return ``images``, uint8 [N, height, width, channels], as an enlarged sheet, row by row."""
    _, height, width, _ = images.shape
    rows = -(-len(images) // SAMPLES_COLUMNS)
    size = (SAMPLES_COLUMNS * (width + GAP) + GAP, rows * (height + GAP) + GAP)
    sheet = Image.new("RGB", size, "white")
    for i, image in enumerate(images):
        row, column = divmod(i, SAMPLES_COLUMNS)
        corner = (column * (width + GAP) + GAP, row * (height + GAP) + GAP)
        sheet.paste(Image.fromarray(image.squeeze()), corner)
    zoomed = (sheet.width * SAMPLES_ZOOM, sheet.height * SAMPLES_ZOOM)
    return sheet.resize(zoomed, Image.Resampling.NEAREST)


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
        latents=LatentsFacts(run.latent_dim, "normal", RULE),
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
            ),
            Variant(FLOATS, FLOATS_FILE, "float32", proven.rewrite, floats),
            *(_variant(trial) for trial in proven.trials if trial.shipped),
        ],
        golden=Golden(
            seeds=list(GOLDEN_SEEDS),
            sha256=[hashlib.sha256(image.tobytes()).hexdigest() for image in golden],
            file=GOLDEN_FILE,
            tolerance=GOLDEN_LEVELS,
        ),
        files=files,
        lineage=lineage(run),
    )


def _variant(trial: Trial) -> Variant:
    candidate, plans = trial.candidate, trial.facts()["plans"]
    name = trial.model.name
    return Variant(
        candidate.name, name, candidate.precision, trial.done, {"plans": plans}, [], trial.plans
    )
