#!/usr/bin/env bash
# onnxruntime 1.24.1 to 1.32.0: Tanh of its own provider for processors gives numbers beyond 1.
#
# Expected: the hyperbolic tangent is within [-1, 1], so that images, probabilities and policies that
# end with it are too, and arctanh, arcsin or sqrt(1 - y * y) can follow.
# Happens: for some x whose tangent rounds to 1, float32 Tanh gives 1.0000001 or 1.0000002, whatever
# the level of optimisation; the negative ones are beyond -1. sqrt(1 - y * y) is NaN there.
# Seen: 2026-11-30, on Linux with an x86-64 processor, with Python 3.11.
#
# The control is NumPy's tanh in float32 of the same numbers.
#
# Ends with 0 when it is so, with 1 when that has changed, with 2 when it could not be tried.
set -euo pipefail

PYTHON=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat >"$work/tanh.py" <<'PYTHON'
import sys

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

shape = ["N"]
nodes = [
    helper.make_node("Tanh", ["x"], ["y"]),
    helper.make_node("Mul", ["y", "y"], ["square"]),
    helper.make_node("Sub", ["one", "square"], ["rest"]),
    helper.make_node("Sqrt", ["rest"], ["root"]),
]
graph = helper.make_graph(
    nodes,
    "tanh",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
    [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("y", "root")],
    [helper.make_tensor("one", TensorProto.FLOAT, [], [1.0])],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
onnx.checker.check_model(model, full_check=True)

x = np.linspace(-20, 20, 400_001, dtype=np.float32)
levels = ort.GraphOptimizationLevel
for level in (levels.ORT_DISABLE_ALL, levels.ORT_ENABLE_ALL):
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    y, root = session.run(None, {"x": x})
    beyond = np.flatnonzero(np.abs(y) > 1)
    first = f", as tanh({x[beyond[-1]]}) = {y[beyond[-1]]:.9g}" if len(beyond) else ""
    print(
        f"onnxruntime {ort.__version__}, {level.name}: from {y.min():.9g} to {y.max():.9g}; "
        f"{len(beyond)} of {len(x)} beyond 1{first}; sqrt(1 - y * y) is NaN {np.isnan(root).sum()} times"
    )
    if not len(beyond):
        sys.exit(3)
own = np.tanh(x)
print(f"the control, NumPy {np.__version__}: from {own.min():.9g} to {own.max():.9g}")
sys.exit(0 if np.abs(own).max() <= 1 else 4)
PYTHON

for version in 1.24.1 1.32.0; do
    packages=("onnxruntime==$version" onnx==1.22.0)
    "$PYTHON" -m venv "$work/$version"
    if ! "$work/$version/bin/pip" --disable-pip-version-check install --quiet "${packages[@]}" 2>"$work/pip"; then
        tail -n 3 "$work/pip"
        echo "could not be tried: ${packages[*]} cannot be installed"
        exit 2
    fi
    status=0
    "$work/$version/bin/python" "$work/tanh.py" || status=$?
    case $status in
        0) ;;
        3) echo "CHANGED: no number is beyond 1" && exit 1 ;;
        *) echo "could not be tried: NumPy's own is not as it should be" && exit 2 ;;
    esac
done
echo "as stated: Tanh goes beyond 1"
