"""The stated range of a generator's images, held against the values that it draws.

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
    """Yield a text if ``images`` do not have the range that is stated.

    ``images`` is float32 [N, height, width, channels], taken from the range ``stated`` to [-1, 1].
    Values outside would be clipped. Where [-1, 1] is stated and no value is below 0, a sigmoid drew
    them, and they would be served pale; where [0, 255] is stated and none is above 1, dark.
    """
    low, high = stated
    scale = (high - low) / 2
    darkest, lightest = (float(low + (end + 1) * scale) for end in (images.min(), images.max()))
    clipped = float((np.abs(images) > 1 + OUTSIDE).mean())
    pale = low < 0 <= darkest and lightest > 0.5
    dark = high > 1 >= lightest > 0.5
    if not clipped and not pale and not dark:
        return
    slack = OUTSIDE * scale
    fitting = [x for x in RANGES if x[0] - slack <= darkest and lightest <= x[1] + slack]
    effect = f"no pixel is {'dark' if pale else 'light'}"
    if clipped:
        effect = f"{clipped:.1%} of the values would be clipped"
    advice = "end the generator with a tanh or a sigmoid"
    if fitting:
        narrowest = min(fitting, key=lambda x: x[1] - x[0])
        option = "--range {:g} {:g}".format(*narrowest)
        advice = f"state {narrowest} (image_range in run.json, or {option})"
    yield (
        f"the generator draws values from {darkest:.3f} to {lightest:.3f}, where its range is "
        f"stated as {[low, high]}: {effect}; {advice}"
    )
