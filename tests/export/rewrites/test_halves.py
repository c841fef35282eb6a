import ml_dtypes
import numpy as np
import onnx
import onnxruntime as ort

from export.rewrites.fold import fold
from export.rewrites.halves import halves


def test_float32_sees_no_difference(layers, unchanged):
    model = layers((7,)).add("Gemm", (7, 24), (24,)).add("Tanh").model()
    after = halves(model)
    unchanged(model, after)
    assert [x.dims[:] for x in after.graph.initializer] == [[7, 24], [24]]


def test_bfloat16_keeps_what_it_would_have_lost(layers):
    model = halves(layers((100,)).add("Gemm", (100, 64)).model())
    (gemm,) = [x for x in model.graph.node if x.op_type == "Gemm"]
    for name in gemm.input:
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, 1, None))
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(1).normal(size=(9, 100)).astype(np.float32)
    exact, rows, weight = session.run(None, {"x": x})
    rounded = [v.astype(ml_dtypes.bfloat16).astype(np.float32) for v in (rows, weight)]
    assert np.abs(rounded[0] @ rounded[1] - exact).max() < 1e-3
    plain = x.astype(ml_dtypes.bfloat16).astype(np.float32) @ rounded[1][-100:]
    assert np.abs(plain - exact).max() > 1e-2


def test_later_layers_are_left_alone(layers, unchanged):
    model = layers((7,)).add("Tanh").add("MatMul", (7, 24)).model()
    unchanged(fold(model), halves(fold(model)), ["Tanh", "Gemm"])
