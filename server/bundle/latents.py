"""The rule that turns a seed into latents: an image's name is its seed.

Rule 1, for normal latents of size d, with h = ceil(d / 2):

1. Words: the first 2h outputs of Philox4x64-10 (Salmon et al. 2011) with the key (seed, 0) and a
   counter that starts at 1; these are the bits of NumPy's ``Philox(key=seed).random_raw(2 * h)``,
   a stream that NumPy promises to keep.
2. Uniforms: ``u = ((word >> 11) + 1) / 2**53`` in (0, 1] of the first h words, and
   ``v = (word >> 11) / 2**53`` in [0, 1) of the last h.
3. Box-Muller (1958) in float64: ``r = sqrt(-2 ln u)``; the latents are ``r cos(2 pi v)`` (h of
   them), then ``r sin(2 pi v)``, the first d of these, rounded to float32.

Rule 2, for uniform latents of size d: ``2 * v - 1`` in [-1, 1) of the first d words of rule 1's
stream, with rule 1's ``v``, rounded to float32, which may give 1.0. All but the last rounding is
exact, so these are the same bits everywhere.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

RULES = {"normal": 1, "uniform": 2}
"""The rule of each distribution, kept in every manifest."""
SEEDS = 2**64
"""The number of seeds; a seed is 0 to SEEDS - 1."""

_PHILOX: Any = np.random.Philox(key=0)
_uniform = np.random.Generator(_PHILOX).random
"""The function that fills an array with ``(word >> 11) / 2**53`` of as many words."""
_KEY: dict[str, Any] = {"counter": (0, 0, 0, 0), "key": (0, 0)}
_START: Any = {
    "bit_generator": "Philox",
    "state": _KEY,
    "buffer": (0, 0, 0, 0),
    "buffer_pos": 4,  # nothing is left in the buffer
    "has_uint32": 0,
    "uinteger": 0,
}


def latents(
    seeds: Sequence[int], latent_dim: int, distribution: str = "normal"
) -> NDArray[np.float32]:
    """Return the latents of ``seeds`` as float32 [len(seeds), latent_dim].

    They are standard normal, or "uniform" in [-1, 1].

    One generator is set to each key in turn (0.3 us) rather than made anew (7 us). The arithmetic
    is the same for one seed as for many, so the bits are too.
    """
    half = -(-latent_dim // 2)
    uniforms = np.empty((len(seeds), 2 * half))
    with _PHILOX.lock:
        for row, seed in zip(uniforms, seeds, strict=True):
            _KEY["key"] = (seed, 0)
            _PHILOX.state = _START
            _uniform(out=row)
    if distribution == "uniform":
        return (2 * uniforms[:, :latent_dim] - 1).astype(np.float32)
    return _box_muller(uniforms, half)[:, :latent_dim]


def latents_range(seed: int, n: int, latent_dim: int) -> NDArray[np.float32]:
    """Return the latents of the images ``seed``, ``seed + 1``, ... as float32 [n, latent_dim]."""
    return latents(range(seed, seed + n), latent_dim)


def _box_muller(uniforms: NDArray[np.float64], half: int) -> NDArray[np.float32]:
    """Return the latents of ``uniforms``, which are overwritten: memory is slow beside inference.

    A uniform in [0, 1) is a multiple of 2**-53, so adding one such step is exact.
    """
    radius, angle = uniforms[:, :half], uniforms[:, half:]
    radius += 2.0**-53
    np.log(radius, out=radius)
    radius *= -2.0
    np.sqrt(radius, out=radius)
    angle *= 2.0 * np.pi
    cosine = np.cos(angle)
    np.sin(angle, out=angle)
    angle *= radius
    radius *= cosine
    return uniforms.astype(np.float32)
