"""The lineage of a bundle: its run, its SavedModel, and the libraries that converted it."""

import hashlib
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import onnx

from export.run import Run
from server.bundle.files import file_facts
from server.bundle.latents import RULE

LIBRARIES = ("onnx", "tf2onnx", "onnxruntime", "onnxruntime-openvino", "tensorflow", "numpy")
CONVERTERS = ("onnx", "tf2onnx", "tensorflow")
"""The libraries that determine the contents of an ONNX file."""


def stamp(model: onnx.ModelProto, run: Run) -> None:
    """Write the lineage into the properties of ``model``.

    No date is among them, so that the same SavedModel gives the same file on any day.
    """
    facts = {
        "saved_model_sha256": saved_model_digest(run.saved_model),
        "git_commit": str(run.lineage.get("git_commit")),
        "latent_distribution": str(run.lineage.get("latent_distribution")),
        "latent_rule": str(RULE),
        **{f"version.{name}": _version(name) or "none" for name in CONVERTERS},
    }
    onnx.helper.set_model_props(model, {f"carfront.{name}": x for name, x in facts.items()})


def lineage(run: Run) -> dict[str, Any]:
    """Return the lineage that the manifest holds."""
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
