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
"""Lines of a failed converter's output that are shown."""


def convert(
    saved_model: Path, folder: Path, latent_dim: int, shape: tuple[int, ...]
) -> onnx.ModelProto:
    """Return the generator as ONNX, ``latents`` [batch, latent_dim] to ``images`` [batch, *shape].

    ``folder`` is scratch space. The images are float32 in [-1, 1] still.

    Raises:
        ConversionFailed: tf2onnx gave up, or the graph is not the one that was wanted.
    """
    model = _tf2onnx(saved_model, folder / "converted.onnx")
    _check_signature(model, latent_dim, shape)
    _name_batch(model)
    _check_weights(model)
    return finish(canonical(model))


def finish(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return ``model`` with every shape inferred and all of it checked.

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
    """Return the dimensions of a graph's input or output; a dynamic one is its name or ''."""
    shape = value.type.tensor_type.shape
    return [d.dim_value if d.HasField("dim_value") else d.dim_param for d in shape.dim]


def _tf2onnx(saved_model: Path, path: Path) -> onnx.ModelProto:
    command = [sys.executable, "-m", "tf2onnx.convert", "--saved-model", str(saved_model)]
    command += ["--signature_def", "serving_default", "--tag", "serve"]
    command += ["--opset", str(OPSET), "--output", str(path)]
    # A process of its own: tf2onnx alters TensorFlow's global state. No GPU: it only reads weights.
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


def _check_signature(model: onnx.ModelProto, latent_dim: int, shape: tuple[int, ...]) -> None:
    for values, name, wanted in (
        (model.graph.input, LATENTS, [latent_dim]),
        (model.graph.output, IMAGES, list(shape)),
    ):
        found = [
            (v.name, _type(v), [BATCH if type(d) is str else d for d in dims(v)]) for v in values
        ]
        right = (name, "FLOAT", [BATCH, *wanted])
        if found != [right]:
            raise ConversionFailed(
                f"the SavedModel's serving_default has {found} where {[right]} was wanted; "
                "export it with training's export_generator"
            )


def _type(value: onnx.ValueInfoProto) -> str:
    return str(onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type))


def _name_batch(model: onnx.ModelProto) -> None:
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = BATCH


def _check_weights(model: onnx.ModelProto) -> None:
    for weight in model.graph.initializer:
        values = onnx.numpy_helper.to_array(weight)
        if not np.isfinite(values).all():
            raise ConversionFailed(
                f"the weight {weight.name} of the SavedModel is NaN or infinite; "
                "go back to a checkpoint before the training diverged"
            )
