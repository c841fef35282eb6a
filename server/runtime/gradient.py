"""The gradient of a bundle's images with respect to their latents, on ONNX Runtime, self-tested."""

from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from server.bundle.files import Bundle
from server.bundle.latents import latents
from server.runtime.plans import Plan, SessionError
from server.runtime.session import FLOATS_OFF, HALF_RANGE, Session, most_rows

STEP = 2e-3
"""The step of the self-test's differences, relative to latents of length one."""
SLOPE_OFF = 0.1
"""The part by which gradients may be off the differences, which float32 and the bends of leaky
ReLUs move by a hundredth or two."""


class GradientSession(Session):
    """One ONNX Runtime session of a gradient's graph: rows to gradients float32 [N, latent_dim].

    A row is latents, and behind them the gradient of a loss with respect to their image, flat:
    float32 [N, latent_dim + height * width * channels]. So the engine batches rows for gradients as
    it batches latents.
    """

    def __init__(
        self,
        path: Path,
        plan: Plan,
        threads: int,
        cache: Path | None = None,
        least_rows: int = 1,
        spins: bool = False,
    ) -> None:
        super().__init__(path, plan, threads, cache, least_rows, spins)
        latents, cotangents = self._ort.get_inputs()
        self._cotangents, self._shape = cotangents.name, tuple(cotangents.shape[1:])
        self.latent_dim: int = latents.shape[1]
        gradient, images = self._ort.get_outputs()
        self._gradient, self._images = gradient.name, images.name

    @property
    def width(self) -> int:
        """The numbers of a row."""
        return int(self.latent_dim + prod(self._shape))

    def run(
        self, batch: NDArray[np.float32], _classes: NDArray[np.int64] | None = None
    ) -> NDArray[Any]:
        """Return the gradients of ``batch``, float32 [N, latent_dim]."""
        return self._run(self._gradient, batch)

    def images(self, latents: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the float images of ``latents``, float32 [N, H, W, C], as the graph draws them."""
        rows = np.zeros((len(latents), self.width), np.float32)
        rows[:, : self.latent_dim] = latents
        return self._run(self._images, rows)

    def _run(self, output: str, rows: NDArray[np.float32]) -> NDArray[Any]:
        cotangents = rows[:, self.latent_dim :].reshape(len(rows), *self._shape)
        feeds = {
            self._input: np.ascontiguousarray(rows[:, : self.latent_dim]),
            self._cotangents: np.ascontiguousarray(cotangents),
        }
        found: NDArray[Any] = self._ort.run([output], feeds)[0]
        return found


def self_test_gradient(session: Session, bundle: Bundle) -> float:
    """Return how far gradients at the golden seeds are off differences of images.

    The images have to be the golden ones.

    Raises:
        SessionError: they are not, or gradients are off by more than ``SLOPE_OFF``.
    """
    assert isinstance(session, GradientSession)  # its plan has seen to it
    facts = bundle.manifest.latents
    rows = most_rows(bundle.manifest.image.shape)
    golden = bundle.golden_images()[:rows].astype(np.float32)
    z = latents(bundle.manifest.golden.seeds[:rows], facts.dim, facts.distribution)
    off = float(np.abs((session.images(z) + np.float32(1)) * np.float32(HALF_RANGE) - golden).max())
    if not off <= FLOATS_OFF:  # which NaN is not either
        raise SessionError(f"its golden images are off by {off:.3g} grey levels")
    chance = np.random.default_rng(0)
    cotangents = chance.standard_normal(golden.shape, np.float32)
    ways = chance.standard_normal(z.shape, np.float32)
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    given = session.run(np.concatenate([z, cotangents.reshape(len(z), -1)], axis=1))
    step = np.float32(STEP) * ways
    apart = (session.images(z + step) - session.images(z - step)) / np.float32(2 * STEP)
    slopes = (apart * cotangents).sum(axis=(1, 2, 3))
    wrong = float(np.linalg.norm((given * ways).sum(axis=1) - slopes) / np.linalg.norm(slopes))
    if not wrong <= SLOPE_OFF:
        raise SessionError(f"its gradients are off by {wrong:.0%} at the golden seeds")
    return wrong
