"""The gradient's graph, made, proven and written beside the graph of float images."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from export.convert import write_onnx
from export.errors import ParityFailed, VariantRefused, first_line
from export.gradient.build import gradient_graph, without_weights
from server.bundle.manifest import GRADIENT, Variant

GRADIENT_FILE = "generator-gradient.onnx"

Prove = Callable[[Path, onnx.ModelProto], dict[str, Any]]
"""The function that returns what was measured of the graph at a path, made of the graph of float
images; it raises ParityFailed where that gives another gradient."""


@dataclass(frozen=True)
class Shipped:
    """The gradient's variant, or the reason why a bundle has none."""

    variant: Variant | None
    told: str

    def facts(self) -> dict[str, Any]:
        """Return what ``parity.json`` tells of it."""
        return {"shipped": self.variant is not None, "told": self.told}


def write_gradient(draft: Path, floats: Variant, classes: int, prove: Prove) -> Shipped:
    """Write the gradient's graph into ``draft``, which holds the file of the variant ``floats``.

    A bundle is good without it: a generator that cannot be differentiated is told.
    """
    if classes:
        return Shipped(None, "no gradient: a conditional generator's is not made")
    graph = onnx.load(str(draft / floats.file))
    path = draft / GRADIENT_FILE
    try:
        model = gradient_graph(graph)
        model.metadata_props.extend(graph.metadata_props)
        write_onnx(without_weights(model, draft / floats.file), path)
        facts = prove(path, graph)
    except VariantRefused as refusal:
        return Shipped(None, f"no gradient: {refusal}")
    except ParityFailed as error:
        path.unlink()
        return Shipped(None, f"no gradient: {error}")
    except Exception as error:  # the bundle is good without the gradient
        path.unlink(missing_ok=True)
        return Shipped(None, f"no gradient: it cannot be made of this graph ({first_line(error)})")
    off = f"off by {facts['largest_difference']:.1g} of its length at most"
    return Shipped(
        Variant(GRADIENT, GRADIENT_FILE, "float32", floats.rewrite, facts),
        f"the gradient is in the bundle: {off}, against {facts['against']}",
    )
