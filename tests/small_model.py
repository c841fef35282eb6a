"""A bundle that draws thousands of images in a moment: what a server does with answers shows then.

``python -m tests.small_model DIRECTORY`` makes a model repository of it; of images with so many
pixels a side if that is a second argument.
"""

import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from server.bundle.classes import classes_of
from server.bundle.files import file_facts
from server.bundle.latents import latents
from server.bundle.manifest import MANIFEST
from server.bundle.manifest_values import COLORS
from server.runtime.plans import Plan
from server.runtime.session import Session
from tests.bundles import DEFAULT

GRAPH = "generator.onnx"


def small_model(models: Path) -> Path:
    """Put the bundle into the repository ``models`` in place of any other; return its directory."""
    shutil.rmtree(models, ignore_errors=True)
    return write_small_model(models, json.loads((DEFAULT / MANIFEST).read_text()))


def small_model_of(models: Path, name: str, shape: list[int]) -> Path:
    """Put a model that draws images of ``shape`` into the repository; return its directory."""
    facts = json.loads((DEFAULT / MANIFEST).read_text())
    facts["name"] = name
    facts["image"] |= {"shape": shape, "colors": COLORS[shape[2]]}
    return write_small_model(models, facts)


def conditional_model_of(models: Path, name: str, classes: list[str]) -> Path:
    """Put a model whose images differ by class into the repository; return its directory."""
    facts = json.loads((DEFAULT / MANIFEST).read_text())
    return write_small_model(models, facts | {"name": name, "classes": classes})


def write_small_model(models: Path, facts: dict[str, Any]) -> Path:
    """Put the model that ``facts``, a manifest, describe into ``models``; return its directory."""
    folder = models / facts["name"] / facts["version"]
    folder.mkdir(parents=True)
    dim, shape = facts["latents"]["dim"], facts["image"]["shape"]
    classes = facts.get("classes", [])
    onnx.save(_graph(facts["graph"], dim, shape, len(classes)), str(folder / GRAPH))
    golden = facts["golden"]
    of_seeds = [classes_of(golden["seeds"], len(classes))] if classes else []
    images = Session(folder / GRAPH, Plan("cpu", "f32"), threads=1).run(
        latents(golden["seeds"], dim), *of_seeds
    )
    np.save(folder / golden["file"], images)
    golden["sha256"] = [hashlib.sha256(image.tobytes()).hexdigest() for image in images]
    facts["variants"] = facts["variants"][:1]
    facts["files"] = {name: vars(file_facts(folder / name)) for name in (GRAPH, golden["file"])}
    (folder / MANIFEST).write_text(json.dumps(facts))
    return folder


def _graph(names: dict[str, str], dim: int, shape: list[int], classes: int) -> onnx.ModelProto:
    """Return one matrix: float32 [batch, dim] to uint8 [batch, *shape].

    With ``classes``, each has a level of its own that is added, from dark to light.
    """
    pixels = int(np.prod(shape))
    weights = np.random.default_rng(0).normal(0, 2, (dim, pixels)).astype(np.float32)
    constants = {
        "weights": weights,
        "grey": np.float32(128),
        "least": np.float32(0),
        "most": np.float32(255),
        "shape": np.array([-1, *shape]),
    }
    inputs = [helper.make_tensor_value_info(names["input"], TensorProto.FLOAT, ["batch", dim])]
    of_class = []
    if classes:
        inputs.append(helper.make_tensor_value_info("class", TensorProto.INT64, ["batch"]))
        constants["grey"] = np.linspace(30, 220, classes, dtype=np.float32)[:, None]
        of_class = [helper.make_node("Gather", ["grey", "class"], ["of_class"])]
    nodes = [
        *of_class,
        helper.make_node("MatMul", [names["input"], "weights"], ["product"]),
        helper.make_node("Add", ["product", "of_class" if classes else "grey"], ["sum"]),
        helper.make_node("Clip", ["sum", "least", "most"], ["levels"]),
        helper.make_node("Cast", ["levels"], ["pixels"], to=TensorProto.UINT8),
        helper.make_node("Reshape", ["pixels", "shape"], [names["output"]]),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        inputs,
        [helper.make_tensor_value_info(names["output"], TensorProto.UINT8, ["batch", *shape])],
        [numpy_helper.from_array(np.asarray(x), name) for name, x in constants.items()],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", names["opset"])], ir_version=9
    )


if __name__ == "__main__":
    repository, *side = sys.argv[1:]
    if side:
        print(small_model_of(Path(repository), "cars-dcgan", [int(side[0]), int(side[0]), 3]))
    else:
        print(small_model(Path(repository)))
