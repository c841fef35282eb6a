"""A bundle's generator and its gradient, as the search asks for them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.evaluation.runs import RunError

FLOATS, GRADIENT = "floats", "gradient"
"""The variants of a bundle that the search needs."""

Floats = NDArray[np.float32]


class Generator:
    """The generator of the bundle in ``folder``, on ONNX Runtime's own provider.

    Raises:
        RunError: the bundle cannot be searched with.
    """

    def __init__(self, folder: Path) -> None:
        try:
            manifest = json.loads((folder / "manifest.json").read_text())
            files = {variant["name"]: variant["file"] for variant in manifest["variants"]}
            self.ref = f"{manifest['name']}/{manifest['version']}"
            self.latent_dim: int = manifest["latents"]["dim"]
            self.distribution: str = manifest["latents"]["distribution"]
            self.shape: list[int] = manifest["image"]["shape"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"{folder} is no bundle: {type(error).__name__}: {error}") from error
        if GRADIENT not in files:
            raise RunError(
                f"{folder} has no gradient; add it: python -m export.variants.add {folder} "
                f"gradient --version {manifest['version']} --force"
            )
        self._floats = _session(folder / files[FLOATS])
        self._gradient = _session(folder / files[GRADIENT])

    def draw(self, latents: Floats) -> Floats:
        """Return the float images of ``latents``, float32 [n, H, W, C] in [-1, 1]."""
        images: Floats = self._floats.run(None, {"latents": latents})[0]
        return np.clip(images, -1, 1)

    def pull(self, latents: Floats, cotangents: Floats) -> Floats:
        """Return the gradient of a loss with respect to ``latents``, from that to their images."""
        feeds = {"latents": latents, "cotangents": cotangents}
        gradient: Floats = self._gradient.run(["gradient"], feeds)[0]
        return gradient


def _session(path: Path) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        told = (
            "a bundle is searched with ONNX Runtime, which is not installed: make .venvs/dev/.done"
        )
        raise RunError(told) from error
    try:
        return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no class in common
        raise RunError(f"{path}: {str(error).splitlines()[0]}") from error
