#!/usr/bin/env bash
# tf2onnx 1.17.0: an operator that it cannot convert does not end the conversion.
#
# Expected: convert.from_function raises when the graph has an operator that ONNX has no counterpart
# of, and what it returns is a model.
# Happens: it logs that the operator is not supported, and returns a model that has TensorFlow's
# operator under ONNX's name: Erfc, of which Keras makes its exact GELU, and Expm1, of its CELU. Neither
# is in any opset of ONNX. onnx's checker and ONNX Runtime refuse the file. ELU and SELU, of which one
# would think the same, are converted.
# Seen: 2026-12-01, on Linux with an x86-64 processor, with Python 3.11: "No Op registered for Erfc with
# domain_version of 18", from both.
#
# The control are ELU, SELU and the GELU that is made of tanh: the checker passes them, and ONNX Runtime
# draws what Keras draws.
#
# Ends with 0 when it is so, with 1 when that has changed, with 2 when it could not be tried.
set -euo pipefail

PYTHON=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat >"$work/convert.py" <<'PYTHON'
import sys

import keras
import numpy as np
import onnx
import onnxruntime
import tensorflow as tf
import tf2onnx
from keras import activations

ACTIVATIONS = {
    "exact gelu": lambda x: activations.gelu(x, approximate=False),
    "celu": activations.celu,
    "gelu of tanh": lambda x: activations.gelu(x, approximate=True),
    "elu": activations.elu,
    "selu": activations.selu,
}
NOT_ONNX = {"exact gelu": "Erfc", "celu": "Expm1"}
has_changed = False

for name, activation in ACTIVATIONS.items():
    signature = [tf.TensorSpec((None, 4), tf.float32)]
    function = tf.function(activation, input_signature=signature)
    try:
        model, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=18)
    except Exception as error:
        print(f"{name}: the conversion raises {type(error).__name__}: {error}")
        has_changed = True
        continue
    operators = [node.op_type for node in model.graph.node]
    rows = np.linspace(-2, 2, 8, dtype=np.float32).reshape(2, 4)
    try:
        onnx.checker.check_model(model, full_check=True)
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        (drawn,) = session.run(None, {session.get_inputs()[0].name: rows})
        off = float(np.abs(drawn - function(rows).numpy()).max())
        print(f"{name}: {', '.join(operators)}; at most {off:.1e} off")
        has_changed |= name in NOT_ONNX or off > 1e-5
    except Exception as error:
        print(f"{name}: {', '.join(operators)}; refused: {str(error).splitlines()[0]}")
        has_changed |= NOT_ONNX.get(name) not in operators
sys.exit(3 if has_changed else 0)
PYTHON

packages=(tensorflow-cpu==2.21.0 keras==3.15.1 tf2onnx==1.17.0 onnx==1.23.2 onnxruntime==1.32.0)
"$PYTHON" -m venv "$work/venv"
if ! "$work/venv/bin/pip" --disable-pip-version-check install --quiet "${packages[@]}" 2>"$work/pip"; then
    tail -n 3 "$work/pip"
    echo "could not be tried: ${packages[*]} cannot be installed"
    exit 2
fi
export TF_CPP_MIN_LOG_LEVEL=3 CUDA_VISIBLE_DEVICES=

status=0
"$work/venv/bin/python" "$work/convert.py" 2>"$work/log" || status=$?
grep "not supported" "$work/log" || true
if [ "$status" != 0 ] && [ "$status" != 3 ]; then
    tail -n 3 "$work/log"
    echo "could not be tried: the models could not be made"
    exit 2
fi
if [ "$status" = 3 ]; then
    echo "CHANGED: what cannot be converted raises, or is converted now"
    exit 1
fi
echo "as stated: a model comes back, with operators that ONNX does not have"
