"""SavedModel to ONNX: float32 latents in, float32 images out, the same bytes every time."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx

from export.canonical import canonical
from export.errors import ConversionFailed

OPSET = 18
LATENTS = "latents"
IMAGES = "images"
BATCH = "batch"
LAST_LINES = 12
"""The number of lines that are shown of a failed converter's output."""
ONE_EACH = "a generator has one float32 input [batch, latent_dim] and one float32 output of images"


def convert(
    saved_model: Path,
    folder: Path,
    latent_dim: int,
    shape: tuple[int, ...],
    image_range: tuple[float, float] = (-1.0, 1.0),
) -> onnx.ModelProto:
    """Return the generator as ONNX, ``latents`` [batch, latent_dim] to ``images`` [batch, *shape].

    ``folder`` is for temporary files. The images are float32 in [-1, 1]; a generator that draws in
    another ``image_range`` gets a scale and a shift.

    Raises:
        ConversionFailed: tf2onnx failed, or the graph cannot serve; the message says why.
    """
    model = _tf2onnx(saved_model, folder / "converted.onnx")
    _check_ops(model)
    _check_signature(model, latent_dim, shape)
    _name_ends(model)
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
            f"the converted graph is not valid ONNX ({error}); report it with the SavedModel"
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
        last = "\n".join(done.stdout.splitlines()[-LAST_LINES:])
        raise ConversionFailed(
            f"tf2onnx cannot convert {saved_model} (exit status {done.returncode}); "
            f"mend what its last lines name:\n{last}"
        )
    return onnx.load(str(path))


def _check_ops(model: onnx.ModelProto) -> None:
    """Refuse a graph with operators of TensorFlow, for which tf2onnx has no ONNX form."""
    missing = sorted(
        f"{node.op_type} (in {node.name})"
        for node in model.graph.node
        if node.domain or not onnx.defs.has(node.op_type, OPSET)
    )
    if missing:
        raise ConversionFailed(
            f"tf2onnx has no ONNX form for {', '.join(missing)}; build the generator of Dense, "
            "Conv2D, Conv2DTranspose, UpSampling2D, normalisation, activation, Reshape, Add and "
            "Concatenate layers"
        )


def _check_signature(model: onnx.ModelProto, latent_dim: int, shape: tuple[int, ...]) -> None:
    for kind, values, wanted in (
        ("input", model.graph.input, [latent_dim]),
        ("output", model.graph.output, list(shape)),
    ):
        found = [(v.name, _type(v), [BATCH, *dims(v)[1:]]) for v in values]
        right = [
            not x.type.tensor_type.shape.dim[0].dim_value and _type(x) == "FLOAT" for x in values
        ]
        if len(found) != 1 or not right[0] or dims(values[0])[1:] != wanted:
            raise ConversionFailed(
                f"the SavedModel's serving_default has as {kind} {found or 'nothing'} where "
                f"{[('any name', 'FLOAT', [BATCH, *wanted])]} was wanted; {ONE_EACH}"
            )


def _type(value: onnx.ValueInfoProto) -> str:
    return str(onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type))


def _name_ends(model: onnx.ModelProto) -> None:
    """Give the input and the output the names that every bundle has."""
    graph = model.graph
    names = {graph.input[0].name: LATENTS, graph.output[0].name: IMAGES}
    for node in graph.node:
        for of in (node.input, node.output):
            of[:] = [names.get(name, name) for name in of]
    for value in (graph.input[0], graph.output[0]):
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
