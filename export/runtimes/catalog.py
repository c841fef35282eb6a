"""The runtimes that are tried, each with the packages of its environment, pinned."""

from dataclasses import dataclass

NUMPY = "numpy==2.4.6"
ONNX = "onnx==1.23.2"
TORCH = "torch==2.13.0"


@dataclass(frozen=True)
class Runtime:
    """One runtime, and what its environment holds."""

    name: str
    """The name that the table shows."""
    packages: tuple[str, ...]
    """The packages, as pip or npm takes them; the first one's version is the runtime's."""
    draw: str
    """The function of ``draw.py`` that draws with it; of runtimes of the web, the provider."""
    host: str = "python"
    """The program that it runs in: ``python``, ``node`` or ``chromium``."""

    @property
    def version(self) -> str:
        """Return the version of the runtime."""
        return self.packages[0].replace("@", "==").partition("==")[2]


_WEB = ("onnxruntime-web@1.30.0",)

RUNTIMES = (
    Runtime("onnx, ReferenceEvaluator", (ONNX, NUMPY), "onnx_reference"),
    Runtime("ONNX Runtime", ("onnxruntime==1.31.0", NUMPY), "onnxruntime"),
    Runtime("onnxruntime-web, wasm in Node", _WEB, "wasm", "node"),
    Runtime("onnxruntime-web, wasm in Chromium", _WEB, "wasm", "chromium"),
    Runtime("onnxruntime-web, WebGL in Chromium", _WEB, "webgl", "chromium"),
    Runtime("OpenVINO", ("openvino==2026.4.1", NUMPY), "openvino"),
    Runtime("OpenCV 4", ("opencv-python-headless==4.14.0.94", NUMPY), "opencv"),
    Runtime("OpenCV 5", ("opencv-python-headless==5.0.0.93", NUMPY), "opencv"),
    Runtime("tract", ("tract==0.23.9", NUMPY), "tract"),
    Runtime("MNN", ("mnn==3.6.1", NUMPY), "mnn"),
    Runtime("tinygrad", ("tinygrad==0.14.0", NUMPY), "tinygrad"),
    Runtime("TVM", ("apache-tvm==0.27.0.post1", ONNX, NUMPY), "tvm"),
    Runtime("ncnn, by pnnx", ("ncnn==1.0.20261020", "pnnx==20261020", TORCH, NUMPY), "ncnn"),
    Runtime(
        "TFLite, by onnx2tf",
        ("ai-edge-litert==2.1.0", "onnx2tf==1.29.24"),
        "tflite",
    ),
    Runtime("PyTorch, by onnx2torch", (TORCH, "onnx2torch==1.5.15", ONNX), "onnx2torch"),
)
