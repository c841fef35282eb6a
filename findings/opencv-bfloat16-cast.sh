#!/usr/bin/env bash
# opencv-python-headless 5.0.0.93: the dnn module reads bfloat16 as something else, and says nothing.
#
# Expected: an ONNX graph that casts float32 to bfloat16 and back rounds its input to eight bits, or
# is refused when it is read, as OpenCV 4 refuses operators that it does not have.
# Happens: the graph is read without an error, and gives the bits of the bfloat16 as whole numbers.
# Seen: 2026-11-30, on Linux with an x86-64 processor, with Python 3.11.
#
# The control casts to float16 and back in the same way.
#
# Ends with 0 when it is so, with 1 when that has changed, with 2 when it could not be tried.
set -euo pipefail

PYTHON=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$PYTHON" -m venv "$work/venv"
packages=(opencv-python-headless==5.0.0.93 onnx==1.23.2)
if ! "$work/venv/bin/pip" --disable-pip-version-check install --quiet "${packages[@]}" 2>"$work/pip"; then
    tail -n 3 "$work/pip"
    echo "could not be tried: ${packages[*]} cannot be installed"
    exit 2
fi
echo "installed: ${packages[*]}"

cat >"$work/cast.py" <<'PYTHON'
import sys

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

kind, path = getattr(TensorProto, sys.argv[1]), sys.argv[2]
shape = [2, 6]
nodes = [
    helper.make_node("Cast", ["x"], ["short"], to=kind),
    helper.make_node("Cast", ["short"], ["y"], to=TensorProto.FLOAT),
]
inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)]
graph = helper.make_graph(nodes, "casts", inputs, outputs)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
onnx.checker.check_model(model, full_check=True)
onnx.save(model, path)

x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
wanted = ReferenceEvaluator(model).run(None, {"x": x})[0]
try:
    net = cv2.dnn.readNetFromONNX(path)
    net.setInput(x)
    found = net.forward()
except cv2.error as error:
    print(f"{sys.argv[1]}: refused: {error.err}")
    sys.exit(3)
print(f"{sys.argv[1]}: given {x[0, :3]}, wanted {wanted[0, :3]}, found {found[0, :3]}")
sys.exit(0 if np.abs(found - x).max() <= 2**-7 * np.abs(x).max() else 4)
PYTHON

status=0
"$work/venv/bin/python" "$work/cast.py" FLOAT16 "$work/float16.onnx" || status=$?
if [ $status -ne 0 ]; then
    echo "CHANGED: the control, a cast to float16, is not right either"
    exit 1
fi
"$work/venv/bin/python" "$work/cast.py" BFLOAT16 "$work/bfloat16.onnx" || status=$?
if [ $status -ne 4 ]; then
    echo "CHANGED: a cast to bfloat16 is right, or refused"
    exit 1
fi
echo "as stated: casts to bfloat16 and back are read without an error, and give other numbers"
