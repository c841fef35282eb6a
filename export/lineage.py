"""The lineage of a bundle: its run or its file, and the libraries that converted it."""

import hashlib
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import onnx

from export.run import Run
from server.bundle.files import file_facts
from server.bundle.latents import RULES

LIBRARIES = ("onnx", "tf2onnx", "onnxruntime", "onnxruntime-openvino", "tensorflow", "numpy")
READERS = {"keras": "keras", "tf_keras": "tf-keras"}
"""The libraries that read a generator from elsewhere, by module."""
CONVERTERS = ("onnx", "tf2onnx", "tensorflow")
"""The libraries that determine the contents of an ONNX file."""


def stamp(model: onnx.ModelProto, run: Run) -> None:
    """Write the lineage into the properties of ``model``.

    No date is among them, so that the same SavedModel gives the same file on any day.
    """
    facts = {
        **_origin(run),
        "latent_distribution": run.distribution,
        "latent_rule": str(RULES[run.distribution]),
        **({"classes": str(len(run.classes))} if run.classes else {}),
        **{f"version.{name}": installed(name) or "none" for name in CONVERTERS},
    }
    onnx.helper.set_model_props(model, {f"carfront.{name}": x for name, x in facts.items()})


def _origin(run: Run) -> dict[str, str]:
    """Return the digest by which the origin of ``run`` can be found, and its commit."""
    if run.source:
        return {"source_sha256": run.source["sha256"]}
    commit = str(run.lineage.get("git_commit"))
    return {"saved_model_sha256": saved_model_digest(run.saved_model), "git_commit": commit}


def lineage(run: Run) -> dict[str, Any]:
    """Return the lineage that the manifest holds: the training's, or that of the source."""
    versions = {"python": platform.python_version()}
    reader = READERS.get(run.source.get("reader", ""), "")
    for name in (*LIBRARIES, reader):
        if name and (found := installed(name)):
            versions[name] = found
    if run.source:
        return {"source": run.source, "export": {"versions": versions}}
    return {
        "training": training_of(run),
        "export": {"saved_model_sha256": saved_model_digest(run.saved_model), "versions": versions},
    }


def training_of(run: Run) -> dict[str, Any]:
    """Return what the lineage says of the training; nothing of a generator from elsewhere."""
    return {name: fact for name, fact in run.lineage.items() if name != "schema_version"}


def installed(name: str) -> str | None:
    """Return the version of the library ``name``, None where it is not installed."""
    # The distributions of TensorFlow and ONNX Runtime have a name for each kind of hardware.
    for distribution in (name, f"{name}-cpu", f"{name}-gpu"):
        try:
            return version(distribution)
        except PackageNotFoundError:
            continue
    return None


def saved_model_digest(saved_model: Path) -> str:
    """Return a SHA-256 of graph and weights, by which a bundle's run can be found."""
    digest = hashlib.sha256()
    for path in (saved_model / "saved_model.pb", *sorted((saved_model / "variables").iterdir())):
        digest.update(f"{path.name} {file_facts(path).sha256}\n".encode())
    return digest.hexdigest()
