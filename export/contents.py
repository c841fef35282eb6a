"""What is in a bundle: the graph, golden images, a picture for people, parity, the manifest."""

import hashlib
import json
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from export.config import ExportConfig
from export.convert import IMAGES, LATENTS, OPSET
from export.parity import GOLDEN_PLAN, Report
from export.probes import GOLDEN_SEEDS
from export.run import Run
from export.tolerances import GOLDEN_LEVELS
from server.bundle import (
    SCHEMA_VERSION,
    FileFacts,
    Golden,
    GraphFacts,
    ImageFacts,
    LatentsFacts,
    Manifest,
    Variant,
    file_facts,
    load_bundle,
    write_manifest,
)
from server.engine.session import VARIANT
from server.latents import RULE

MODEL_FILE = "generator.onnx"
GOLDEN_FILE = "golden.npy"
PARITY_FILE = "parity.json"
SAMPLES_FILE = "samples.png"
LIBRARIES = ("onnx", "tf2onnx", "onnxruntime", "onnxruntime-ep-openvino", "tensorflow", "numpy")
SAMPLES_COLUMNS, SAMPLES_ROWS = 16, 8
SAMPLES_ZOOM = 2
GAP = 2
"""Pixels between two samples."""


def write_contents(
    draft: Path, model: Path, report: Report, run: Run, config: ExportConfig
) -> None:
    """Fill ``draft`` with the bundle, the manifest last, and read it back as the server does.

    ``model`` is the ONNX file that ``report`` is about.
    """
    images = report.images(GOLDEN_PLAN)  # golden seeds first, then seed 0, 1, 2, ...
    golden = images[: len(GOLDEN_SEEDS)]
    shutil.copyfile(model, draft / MODEL_FILE)
    np.save(draft / GOLDEN_FILE, golden)
    samples = images[len(golden) :][: SAMPLES_COLUMNS * SAMPLES_ROWS]
    grid(samples).save(draft / SAMPLES_FILE)
    (draft / PARITY_FILE).write_text(json.dumps(report.facts(), indent=2) + "\n")
    files = {path.name: file_facts(path) for path in sorted(draft.iterdir())}
    write_manifest(_manifest(config, run, report, golden, files), draft)
    load_bundle(draft)


def grid(images: NDArray[np.uint8]) -> Image.Image:
    """Return uint8 images [N, height, width, 3] row by row on white, enlarged."""
    _, height, width, _ = images.shape
    rows = -(-len(images) // SAMPLES_COLUMNS)
    size = (SAMPLES_COLUMNS * (width + GAP) + GAP, rows * (height + GAP) + GAP)
    sheet = Image.new("RGB", size, "white")
    for i, image in enumerate(images):
        row, column = divmod(i, SAMPLES_COLUMNS)
        corner = (column * (width + GAP) + GAP, row * (height + GAP) + GAP)
        sheet.paste(Image.fromarray(image), corner)
    zoomed = (sheet.width * SAMPLES_ZOOM, sheet.height * SAMPLES_ZOOM)
    return sheet.resize(zoomed, Image.Resampling.NEAREST)


def _manifest(
    config: ExportConfig,
    run: Run,
    report: Report,
    golden: NDArray[np.uint8],
    files: dict[str, FileFacts],
) -> Manifest:
    facts = report.facts()
    parity = {"float_difference": facts["float_difference"], "plans": facts["plans"]}
    return Manifest(
        schema_version=SCHEMA_VERSION,
        name=config.name,
        version=config.version,
        latents=LatentsFacts(run.latent_dim, "normal", RULE),
        image=ImageFacts(list(run.image_shape), "uint8", [0, 255], "RGB"),
        graph=GraphFacts(LATENTS, IMAGES, OPSET),
        variants=[Variant(VARIANT, MODEL_FILE, "float32", "none", parity)],
        golden=Golden(
            seeds=list(GOLDEN_SEEDS),
            sha256=[hashlib.sha256(image.tobytes()).hexdigest() for image in golden],
            file=GOLDEN_FILE,
            tolerance=GOLDEN_LEVELS,
        ),
        files=files,
        lineage=_lineage(run),
    )


def _lineage(run: Run) -> dict[str, Any]:
    training = {name: fact for name, fact in run.lineage.items() if name != "schema_version"}
    versions = {"python": platform.python_version()}
    for name in LIBRARIES:
        installed = _version(name)
        if installed:
            versions[name] = installed
    return {
        "training": training,
        "export": {"saved_model_sha256": saved_model_digest(run.saved_model), "versions": versions},
    }


def _version(name: str) -> str | None:
    # TensorFlow and ONNX Runtime have a distribution of another name for each kind of hardware.
    for distribution in (name, f"{name}-cpu", f"{name}-gpu"):
        try:
            return version(distribution)
        except PackageNotFoundError:
            continue
    return None


def saved_model_digest(saved_model: Path) -> str:
    """Return a SHA-256 over the graph and the weights, which ties a bundle to its run."""
    digest = hashlib.sha256()
    for path in (saved_model / "saved_model.pb", *sorted((saved_model / "variables").iterdir())):
        digest.update(f"{path.name} {file_facts(path).sha256}\n".encode())
    return digest.hexdigest()
