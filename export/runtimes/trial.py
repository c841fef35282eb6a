"""One runtime on one graph: whether it loads, how far its images are, and in which batches."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from export.convert import write_onnx
from export.differences import compare
from export.head import to_uint8
from export.runtimes.browser import WEB, draw_in_chromium
from export.runtimes.catalog import Runtime
from export.runtimes.environments import RuntimeFailed, run

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Drawn = NDArray[Any]
"""Images as a runtime gives them, of bytes or of floats."""

SIZES = (7, 1)
"""The batch sizes whose images have to be the same."""
ROWS = 9 * SIZES[0]
"""The number of latents: whole batches of either size."""
SECONDS = 600
"""The seconds that a runtime may take for a graph; compilers take one for each size."""


@dataclass(frozen=True)
class Result:
    """What came of one runtime with one graph."""

    levels: int | None = None
    """The largest difference in grey levels; None if it does not draw."""
    same_bytes: bool = False
    """Whether batches of one and of seven gave the same values."""
    dynamic: bool = False
    """Whether one loaded graph took both batch sizes."""
    failure: str = ""
    """The sentence that says why it does not draw, or why it takes no batch of any size."""


def try_graph(
    runtime: Runtime, folder: Path, graph: Path, latents: Floats, wanted: Bytes
) -> Result:
    """Return what ``runtime``, installed in ``folder``, makes of ``graph``.

    ``wanted`` are the images of ``latents``, uint8 [rows, height, width, channels]. A runtime that
    cannot draw both batch sizes with the graph as it is gets a graph for each size.
    """
    model = onnx.load(str(graph))
    in_levels = model.graph.output[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    why = ""
    try:
        drawn = _draw(runtime, folder, graph, latents, wanted.shape, SIZES)
    except RuntimeFailed as error:
        why = str(error)
        try:
            drawn = _draw_each(runtime, folder, model, latents, wanted.shape)
        except RuntimeFailed:
            return Result(failure=why)
    return _judged(drawn, wanted, in_levels, why)


def _draw_each(
    runtime: Runtime,
    folder: Path,
    model: onnx.ModelProto,
    latents: Floats,
    shape: tuple[int, ...],
) -> dict[int, Drawn]:
    """Return the images by batch size, with a graph for each one."""
    drawn: dict[int, Drawn] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for size in SIZES:
            fixed = Path(scratch) / f"{size}.onnx"
            write_onnx(of_size(model, size), fixed)
            drawn |= _draw(runtime, folder, fixed, latents, shape, (size,))
    return drawn


def of_size(model: onnx.ModelProto, rows: int) -> onnx.ModelProto:
    """Return ``model`` for batches of ``rows`` rows alone."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    del fixed.graph.value_info[:]
    for value in (*fixed.graph.input, *fixed.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = rows
    return onnx.shape_inference.infer_shapes(fixed, strict_mode=True, data_prop=True)


def _judged(drawn: dict[int, Drawn], wanted: Bytes, in_levels: bool, why: str) -> Result:
    """Return the result; images ``in_levels`` may come as floats, where a runtime has no bytes."""
    images = drawn[SIZES[0]]
    whole = np.nan_to_num(images)  # noise may be NaN
    found = np.clip(np.rint(whole), 0, 255).astype(np.uint8) if in_levels else to_uint8(whole)
    same = all(np.array_equal(images, other) for other in drawn.values())
    return Result(compare(found, wanted).levels, same, not why, why)


def _draw(
    runtime: Runtime,
    folder: Path,
    graph: Path,
    latents: Floats,
    shape: tuple[int, ...],
    sizes: tuple[int, ...],
) -> dict[int, Drawn]:
    """Return the images by batch size, in ``shape``.

    Raises:
        RuntimeFailed: the runtime draws none, or other ones than that many values.
    """
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch)
        graph = Path(shutil.copy(graph, out))  # a converter may write into the file that it reads
        if runtime.host == "python":
            np.save(out / "latents.npy", latents)
            script = Path(__file__).with_name("draw.py")
            command = [str(folder / "bin/python"), str(script), runtime.draw]
            command += [str(graph), str(out / "latents.npy"), str(out), *map(str, sizes)]
            run(command, out, SECONDS)
        else:
            latents.tofile(out / "latents")
            _draw_on_the_web(runtime, folder, graph, out, latents.shape[1], sizes)
        return {size: _read(out, size, shape) for size in sizes}


def _draw_on_the_web(
    runtime: Runtime, folder: Path, graph: Path, out: Path, dim: int, sizes: tuple[int, ...]
) -> None:
    library = folder / "node_modules/onnxruntime-web"
    latents, provider = out / "latents", runtime.draw
    if runtime.host == "chromium":
        draw_in_chromium(library, provider, graph, latents, dim, out, list(sizes), SECONDS)
        return
    command = ["node", str(WEB / "node.mjs"), str(library), provider, str(graph)]
    run([*command, str(latents), str(dim), str(out), *map(str, sizes)], out, SECONDS)


def _read(out: Path, size: int, shape: tuple[int, ...]) -> Drawn:
    if (file := out / f"{size}.npy").exists():
        images: Drawn = np.load(file)
    else:  # those of the web come without their shape
        kind = np.uint8 if (out / f"{size}.uint8").exists() else np.float32
        images = np.fromfile(out / f"{size}.{np.dtype(kind)}", kind)
        images = images.reshape(shape) if images.size == np.prod(shape) else images
    if images.shape != shape:
        raise RuntimeFailed(f"it draws {images.shape[1:]} where {shape[1:]} was wanted")
    return images
