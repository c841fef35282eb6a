"""The rewrites that make the converted graph fast: the same generator, proven again by parity.

Each rewrite is a function from a model to a new one, and is correct for any generator: where it
does not apply, it changes nothing. A rewrite relies on the form that those before it make.
"""

from collections.abc import Callable, Iterable

import onnx

from export.canonical import canonical
from export.convert import finish
from export.rewrites.activations import early_activations
from export.rewrites.dense import permute_dense
from export.rewrites.fold import fold
from export.rewrites.halves import halves
from export.rewrites.shrink import shrink
from export.rewrites.split import split
from export.rewrites.subpixel import subpixel

Rewrite = Callable[[onnx.ModelProto], onnx.ModelProto]
REWRITES = (fold, permute_dense, subpixel, early_activations, shrink, split, halves)

NAMES = ", ".join(step.__name__ for step in REWRITES)
"""The names of the rewrites, as the manifest lists them."""


def rewrite(model: onnx.ModelProto, steps: Iterable[Rewrite] = REWRITES) -> onnx.ModelProto:
    """Return ``model``, as the converter gives it, in the form that runtimes run fastest.

    ``steps`` may leave out some of the rewrites.

    Raises:
        ConversionFailed: the graph is not valid ONNX afterwards.
    """
    for step in steps:
        model = step(model)
    return finish(canonical(model))
