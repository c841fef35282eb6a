"""A bundle opened for evaluation: anybody can check what is said of it, without its run."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.evaluation.distances import Progress
from training.evaluation.runs import BATCH, Run, RunError, checked_facts

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Bundle(Run):
    """A bundle's directory, and the facts of its training in its manifest."""

    ref: str
    """The model's name and version, as ``name/version``."""

    @property
    def name(self) -> str:
        return self.ref

    @property
    def results(self) -> Path:
        """The folder for the results; a bundle's own holds only what its manifest lists."""
        return Path("build/evaluation") / self.name.replace("/", "-")

    def draw(self, count: int, seed: int, progress: Progress) -> NDArray[np.uint8]:
        """Return ``count`` images of the bundle's float32 graph, uint8 [count, size, size, 3].

        Raises:
            RunError: there is no ONNX Runtime here, or the graph is not one of images.
        """
        try:
            import onnxruntime
        except ImportError as error:
            told = (
                "a bundle is drawn with ONNX Runtime, which is not installed: make .venvs/dev/.done"
            )
            raise RunError(told) from error
        try:
            session = onnxruntime.InferenceSession(
                self.folder / "generator.onnx", providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its errors have no class in common
            raise RunError(f"{self.folder}: {str(error).splitlines()[0]}") from error
        drawn = []
        latents = self.latents(count, seed)
        for start in range(0, count, BATCH):
            (images,) = session.run(["images"], {"latents": latents[start : start + BATCH]})
            drawn.append(images)
            progress(min(start + BATCH, count) / count)
        return np.concatenate(drawn)


def open_bundle(folder: Path) -> Bundle:
    """Return the bundle in ``folder``.

    Raises:
        RunError: its manifest is damaged, or does not say on what its generator was trained.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text())
        facts, ref = manifest["lineage"]["training"], f"{manifest['name']}/{manifest['version']}"
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{path} does not say how the generator was trained ({type(error).__name__}: {error}): "
            "it can only be judged beside the photographs that it was trained on"
        ) from error
    return Bundle(folder, checked_facts(facts, path), ref)
