"""The range of images that a run states, held against the values that its generator draws.

A generator that draws outside it would have its values clipped, and the images of both sides of the
parity check alike.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from export.run import RANGES

OUTSIDE = 1 / 255
"""How far a value may be outside [-1, 1]: half a grey level, which rounds to the same byte."""


def beyond(images: NDArray[np.float32], stated: tuple[float, float]) -> Iterator[str]:
    """Yield a text if ``images`` do not have the range that the run states.

    ``images`` is float32 [N, height, width, channels], taken from the range ``stated`` to [-1, 1].
    Values outside would be clipped. Where [-1, 1] is stated and no value is below 0, a sigmoid drew
    them, and they would be served pale.
    """
    low, high = stated
    scale = (high - low) / 2
    darkest, lightest = (float(low + (end + 1) * scale) for end in (images.min(), images.max()))
    clipped = float((np.abs(images) > 1 + OUTSIDE).mean())
    pale = low < 0 <= darkest and lightest > 0.5
    if not clipped and not pale:
        return
    slack = OUTSIDE * scale
    fitting = [x for x in RANGES if x[0] - slack <= darkest and lightest <= x[1] + slack]
    effect = f"{clipped:.1%} of the values would be clipped" if clipped else "no pixel is dark"
    advice = f"state {fitting[-1]}" if fitting else "end the generator with a tanh or a sigmoid"
    yield (
        f"the SavedModel draws values from {darkest:.3f} to {lightest:.3f}, where image_range in "
        f"run.json states {[low, high]}: {effect}; {advice}"
    )
