"""SavedModel to ONNX: float32 latents in, float32 images out, the same bytes every time."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx

from export.canonical import canonical
from export.errors import PLAIN, ConversionFailed
from export.mend import mend
from export.operators import check_operators, check_precision, what_failed, what_of
from export.single import single

OPSET = 18
LATENTS = "latents"
CLASS = "class"
"""The second input of a conditional generator, int64 [batch]."""
CLASSES = "classes"
"""The name of that input in the SavedModel: TensorFlow takes no word that Python reserves."""
IMAGES = "images"
BATCH = "batch"
ONE_EACH = "a generator has one float32 input [batch, latent_dim] and one float32 output of images"


def convert(
    saved_model: Path,
    folder: Path,
    latent_dim: int,
    shape: tuple[int, ...],
    image_range: tuple[float, float] = (-1.0, 1.0),
    conditional: bool = False,
) -> onnx.ModelProto:
    """Return the generator as ONNX, ``latents`` [batch, latent_dim] to ``images`` [batch, *shape].

    A ``conditional`` one has a second input, ``class`` int64 [batch]. ``folder`` is for temporary
    files. The images are float32 in [-1, 1]; a generator that draws in another ``image_range`` gets
    a scale and a shift.

    Raises:
        ConversionFailed: tf2onnx failed, or the graph cannot serve; the message says why.
    """
    model = _tf2onnx(saved_model, folder / "converted.onnx")
    mend(model)
    check_operators(model, OPSET)
    single(model)
    check_precision(model)
    wanted = [("FLOAT", [latent_dim]), *([("INT64", [])] if conditional else [])]
    _check_signature(model, wanted, shape)
    _name_ends(model, shape)
    _centre(model, image_range)
    _check_weights(model)
    return finish(canonical(model))


def finish(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return ``model`` with every shape inferred, checked by ONNX.

    Raises:
        ConversionFailed: the ONNX checker or the shape inference objects.
    """
    try:
        del model.graph.value_info[:]
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        onnx.checker.check_model(inferred, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ConversionFailed(
            f"the graph is not valid ONNX ({what_of(error)}); {PLAIN}"
        ) from error
    return inferred


def write_onnx(model: onnx.ModelProto, path: Path) -> None:
    """Write ``model`` to ``path``; the same model gives the same bytes."""
    path.write_bytes(model.SerializeToString(deterministic=True))


def dims(value: onnx.ValueInfoProto) -> list[int | str]:
    """Return the dimensions of a graph's input or output; a dynamic one is given by its name."""
    shape = value.type.tensor_type.shape
    return [d.dim_value if d.HasField("dim_value") else d.dim_param for d in shape.dim]


def _tf2onnx(saved_model: Path, path: Path) -> onnx.ModelProto:
    command = [sys.executable, "-m", "tf2onnx.convert", "--saved-model", str(saved_model)]
    command += ["--signature_def", "serving_default", "--tag", "serve"]
    command += ["--opset", str(OPSET), "--output", str(path)]
    # tf2onnx has a process of its own, as it alters TensorFlow's global state. It sees no GPU, as
    # it only reads weights.
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "", "PYTHONHASHSEED": "0"}
    done = subprocess.run(
        command,
        env=os.environ | quiet,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if done.returncode or not path.is_file():
        raise ConversionFailed(
            f"tf2onnx cannot convert {saved_model} ({what_failed(done.stdout)}); {PLAIN}"
        )
    return onnx.load(str(path))


def _check_signature(
    model: onnx.ModelProto, inputs: list[tuple[str, list[int]]], shape: tuple[int, ...]
) -> None:
    """Check the ends of ``model``; ``inputs`` are the wanted types and shapes, latents first."""
    by_type = sorted(model.graph.input, key=_type)  # FLOAT comes before INT64
    for kind, values, wanted in (
        ("input", by_type, inputs),
        ("output", list(model.graph.output), [("FLOAT", list(shape))]),
    ):
        if len(values) != len(wanted) or not all(map(_fits, values, wanted)):
            found = [(v.name, _type(v), [BATCH, *dims(v)[1:]]) for v in values]
            told = [("any name", type_, [BATCH, *rest]) for type_, rest in wanted]
            raise ConversionFailed(
                f"the SavedModel's serving_default has as {kind} {found or 'nothing'} where "
                f"{told} was wanted; {ONE_EACH}"
            )


def _fits(value: onnx.ValueInfoProto, wanted: tuple[str, list[int]]) -> bool:
    """Return whether ``value`` is ``wanted``, or may become it: a name stands for any size."""
    (batch, *found), (type_, sizes) = dims(value) or [0], wanted
    same = [isinstance(a, str) or a == b for a, b in zip(found, sizes, strict=False)]
    fits = len(found) == len(sizes) and all(same) and _type(value) == type_
    return fits and isinstance(batch, str)


def _type(value: onnx.ValueInfoProto) -> str:
    return str(onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type))


def _name_ends(model: onnx.ModelProto, shape: tuple[int, ...]) -> None:
    """Give inputs and output the names and the order of every bundle, and the images their size."""
    graph = model.graph
    inputs = sorted(graph.input, key=_type)
    del graph.input[:]
    graph.input.extend(inputs)
    names = {x.name: name for x, name in zip(inputs, (LATENTS, CLASS), strict=False)}
    names[graph.output[0].name] = IMAGES
    for node in graph.node:
        for of in (node.input, node.output):
            of[:] = [names.get(name, name) for name in of]
    for size, dim in zip(shape, graph.output[0].type.tensor_type.shape.dim[1:], strict=True):
        dim.dim_value = size  # tf2onnx leaves open what the network computes at run time
    for value in (*graph.input, graph.output[0]):
        value.name = names[value.name]
        value.type.tensor_type.shape.dim[0].dim_param = BATCH


def _centre(model: onnx.ModelProto, image_range: tuple[float, float]) -> None:
    """Scale and shift images in ``image_range`` to [-1, 1]."""
    low, high = image_range
    if (low, high) == (-1.0, 1.0):
        return
    graph = model.graph
    for node in graph.node:
        node.output[:] = ["centre.drawn" if name == IMAGES else name for name in node.output]
    scale, shift = 2 / (high - low), -(high + low) / (high - low)
    for name, value in (("centre.scale", scale), ("centre.shift", shift)):
        graph.initializer.append(onnx.numpy_helper.from_array(np.array(value, np.float32), name))
    node = onnx.helper.make_node
    graph.node.append(node("Mul", ["centre.drawn", "centre.scale"], ["centre.scaled"]))
    graph.node.append(node("Add", ["centre.scaled", "centre.shift"], [IMAGES]))


def _check_weights(model: onnx.ModelProto) -> None:
    for weight in model.graph.initializer:
        values = onnx.numpy_helper.to_array(weight)
        if not np.isfinite(values).all():
            raise ConversionFailed(
                f"the weight {weight.name} of the SavedModel is NaN or infinite; "
                "go back to a checkpoint before the training diverged"
            )
