"""Draws with one runtime, in that runtime's environment: it imports nothing of this product.

    python draw.py RUNTIME GRAPH LATENTS OUT SIZE...

opens GRAPH once and draws all of LATENTS, float32 [rows, latent_dim] in a .npy file, in batches of
each SIZE. The images are written to OUT/<SIZE>.npy as the graph gives them, uint8 or float32.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Draw = Callable[[Array], Array]
"""A function from latents, float32 [batch, latent_dim], to images, [batch, *image_shape]."""


def onnx_reference(graph: Path, _latents: Array) -> Draw:
    from onnx.reference import ReferenceEvaluator

    evaluator: Any = ReferenceEvaluator(str(graph))
    (name,) = evaluator.input_names
    return lambda latents: evaluator.run(None, {name: latents})[0]


def onnxruntime(graph: Path, _latents: Array) -> Draw:
    import onnxruntime as ort

    session = ort.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    return lambda latents: session.run(None, {session.get_inputs()[0].name: latents})[0]


def openvino(graph: Path, _latents: Array) -> Draw:
    import openvino as ov

    model = ov.Core().compile_model(str(graph), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda latents: model(latents)[0]


def opencv(graph: Path, _latents: Array) -> Draw:
    import cv2

    net = cv2.dnn.readNetFromONNX(str(graph))

    def draw(latents: Array) -> Array:
        net.setInput(latents)
        return net.forward()

    return draw


def tract(graph: Path, _latents: Array) -> Draw:
    import tract as sonos

    runnable = sonos.onnx().load(str(graph)).into_model().into_runnable()
    return lambda latents: runnable.run([latents])[0].to_numpy()


def mnn(graph: Path, _latents: Array) -> Draw:
    import _tools  # MNN's command for it installs a package and sends what it did to its makers
    import MNN

    target = str(_scratch() / "model.mnn")
    _tools.mnnconvert(
        [
            "mnnconvert",
            "-f",
            "ONNX",
            "--modelFile",
            str(graph),
            "--MNNModel",
            target,
            "--bizCode",
            "x",
        ]
    )
    module = MNN.nn.load_module_from_file(target, [], [])

    def draw(latents: Array) -> Array:
        values = MNN.expr.const(latents, latents.shape, MNN.expr.NCHW)
        images = MNN.expr.cast(module.forward([values])[0], MNN.expr.float)
        rows = MNN.expr.convert(images, MNN.expr.NCHW)
        return np.array(rows.read())  # what it reads is gone with ``rows``

    return draw


def tinygrad(graph: Path, _latents: Array) -> Draw:
    from tinygrad import Tensor
    from tinygrad.nn.onnx import OnnxRunner

    runner = OnnxRunner(str(graph))
    name = next(iter(runner.graph_inputs))
    return lambda latents: next(iter(runner({name: Tensor(latents)}).values())).numpy()


def tvm(graph: Path, _latents: Array) -> Draw:
    import onnx
    import tvm as apache
    from tvm import relax
    from tvm.relax.frontend.onnx import from_onnx

    module = from_onnx(onnx.load(str(graph)), keep_params_in_input=False)
    built = relax.build(module, target="llvm")
    machine = relax.VirtualMachine(built, apache.cpu())
    return lambda latents: machine["main"](apache.runtime.tensor(latents)).numpy()


def ncnn(graph: Path, latents: Array) -> Draw:
    import ncnn as tencent

    folder = _scratch()
    param, weights = folder / "model.ncnn.param", folder / "model.ncnn.bin"
    ends = f"inputshape=[1,{latents.shape[1]}]f32"
    _run("pnnx", graph, ends, f"ncnnparam={param}", f"ncnnbin={weights}", "fp16=0", cwd=folder)
    net = tencent.Net()
    net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = net.opt.use_bf16_storage = False
    if net.load_param(str(param)) or net.load_model(str(weights)):
        raise RuntimeError("ncnn does not load what pnnx has made of the graph")

    def draw_one(row: Array) -> Array:
        with net.create_extractor() as extractor:
            extractor.input("in0", tencent.Mat(row))
            return np.array(extractor.extract("out0")[1])

    return lambda latents: np.stack([draw_one(row) for row in latents])


def tflite(graph: Path, _latents: Array) -> Draw:
    from ai_edge_litert.interpreter import Interpreter

    folder = _scratch()
    _run("onnx2tf", "-i", graph, "-o", folder, "-n")
    (model,) = folder.glob("*_float32.tflite")
    interpreter = Interpreter(str(model))
    (entry,), (end,) = interpreter.get_input_details(), interpreter.get_output_details()

    def draw(latents: Array) -> Array:
        interpreter.resize_tensor_input(entry["index"], latents.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(entry["index"], latents)
        interpreter.invoke()
        return interpreter.get_tensor(end["index"])

    return draw


def onnx2torch(graph: Path, _latents: Array) -> Draw:
    import torch

    # onnx2torch imports torchvision for the boxes of detectors, and pip may take one of another
    # build than torch's, which does not load. No generator needs it.
    for name in ("torchvision", "torchvision.ops"):
        sys.modules[name] = ModuleType(name)
    sys.modules["torchvision.ops"].__dict__["roi_align"] = None
    from onnx2torch import convert

    module = convert(str(graph))

    def draw(latents: Array) -> Array:
        with torch.no_grad():
            return module(torch.from_numpy(latents)).numpy()

    return draw


def _run(program: str, *arguments: object, cwd: Path | None = None) -> None:
    """Run a ``program`` of this environment; what it says goes where Python's errors go."""
    command = [str(Path(sys.executable).with_name(program)), *map(str, arguments)]
    if subprocess.run(command, cwd=cwd, stdout=sys.stderr).returncode:
        raise RuntimeError(f"{program} does not convert the graph")


def _scratch() -> Path:
    """Return a folder beside the images, for what a converter writes."""
    return Path(tempfile.mkdtemp(dir=sys.argv[4])).resolve()


def _in_batches(draw: Draw, latents: Array, size: int) -> Array:
    """Return the images, copied batch by batch: a runtime may give the same memory again."""
    starts = range(0, len(latents), size)
    return np.concatenate([np.array(draw(latents[i : i + size])) for i in starts])


def main(name: str, graph: str, latents: str, out: str, *sizes: str) -> None:
    rows = np.load(latents)
    draw = globals()[name](Path(graph).resolve(), rows)
    for size in sizes:
        np.save(Path(out) / f"{size}.npy", _in_batches(draw, rows, int(size)))


if __name__ == "__main__":
    main(*sys.argv[1:])
