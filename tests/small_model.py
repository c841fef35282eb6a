"""A bundle that draws thousands of images in a moment: what a server does with answers shows then.

``python -m tests.small_model DIRECTORY`` makes a model repository of it.
"""

import hashlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from server.bundle.files import file_facts
from server.bundle.latents import latents
from server.bundle.manifest import MANIFEST
from server.runtime.plans import Plan
from server.runtime.session import Session
from tests.bundles import DEFAULT

GRAPH = "generator.onnx"


def small_model(models: Path) -> Path:
    """Put the bundle into the repository ``models`` in place of any other; return its directory."""
    facts = json.loads((DEFAULT / MANIFEST).read_text())
    shutil.rmtree(models, ignore_errors=True)
    folder = models / facts["name"] / facts["version"]
    folder.mkdir(parents=True)
    dim, shape = facts["latents"]["dim"], facts["image"]["shape"]
    onnx.save(_graph(facts["graph"], dim, shape), str(folder / GRAPH))
    golden = facts["golden"]
    images = Session(folder / GRAPH, Plan("cpu", "f32"), threads=1).run(
        latents(golden["seeds"], dim)
    )
    np.save(folder / golden["file"], images)
    golden["sha256"] = [hashlib.sha256(image.tobytes()).hexdigest() for image in images]
    facts["variants"] = facts["variants"][:1]
    facts["files"] = {name: vars(file_facts(folder / name)) for name in (GRAPH, golden["file"])}
    (folder / MANIFEST).write_text(json.dumps(facts))
    return folder


def _graph(names: dict[str, str], dim: int, shape: list[int]) -> onnx.ModelProto:
    """Return one matrix: float32 [batch, dim] to uint8 [batch, *shape]."""
    pixels = int(np.prod(shape))
    weights = np.random.default_rng(0).normal(0, 2, (dim, pixels)).astype(np.float32)
    constants = {
        "weights": weights,
        "grey": np.float32(128),
        "least": np.float32(0),
        "most": np.float32(255),
        "shape": np.array([-1, *shape]),
    }
    nodes = [
        helper.make_node("MatMul", [names["input"], "weights"], ["product"]),
        helper.make_node("Add", ["product", "grey"], ["sum"]),
        helper.make_node("Clip", ["sum", "least", "most"], ["levels"]),
        helper.make_node("Cast", ["levels"], ["pixels"], to=TensorProto.UINT8),
        helper.make_node("Reshape", ["pixels", "shape"], [names["output"]]),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info(names["input"], TensorProto.FLOAT, ["batch", dim])],
        [helper.make_tensor_value_info(names["output"], TensorProto.UINT8, ["batch", *shape])],
        [numpy_helper.from_array(np.asarray(x), name) for name, x in constants.items()],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", names["opset"])], ir_version=9
    )


if __name__ == "__main__":
    print(small_model(Path(sys.argv[1])))
