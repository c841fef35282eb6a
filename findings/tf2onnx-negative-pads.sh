#!/usr/bin/env bash
# tf2onnx 1.17.0 with onnxruntime 1.24.1 and 1.32.0: a transposed convolution that one ONNX Runtime draws
# rightly, a newer one does not open.
#
# Expected: a Keras Conv2DTranspose becomes a node that ONNX allows, or the conversion raises; and a file
# that ONNX Runtime takes, its later versions take.
# Happens: with a kernel smaller than the stride, tf2onnx writes negative pads, [0, 0, -1, -1], without
# a word. ONNX Runtime 1.24.1 draws with them what Keras draws. onnx's full check, and with it ONNX Runtime
# 1.32.0 as it opens the file, refuse them: "Attribute pads must not contain negative values". So an export
# that was compared with Keras, image by image, stops to load when the runtime is updated.
# Seen: 2026-12-01, on Linux with an x86-64 processor, with Python 3.11, with kernels of 1, 2 and 3 and
# strides of 2, 3 and 4, "same" and "valid".
#
# The control are kernels as large as the stride and larger: no negative pads, and all agree.
#
# Ends with 0 when it is so, with 1 when that has changed, with 2 when it could not be tried.
set -euo pipefail

PYTHON=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

install() { # install FOLDER PACKAGES...
    local folder=$work/$1
    shift
    "$PYTHON" -m venv "$folder"
    if ! "$folder/bin/pip" --disable-pip-version-check install --quiet "$@" 2>"$work/pip"; then
        tail -n 3 "$work/pip"
        echo "could not be tried: $* cannot be installed"
        exit 2
    fi
    echo "installed: $*"
}

# Writes each model, its rows and what Keras draws of them, and prints what the checker says.
cat >"$work/convert.py" <<'PYTHON'
import sys
from pathlib import Path

import keras
import numpy as np
import onnx
import tensorflow as tf
import tf2onnx
from keras import layers

for case in sys.argv[2:]:
    kernel, stride, padding = case.split("-")
    keras.utils.set_random_seed(1)
    network = keras.Sequential(
        [
            keras.Input((4, 4, 2)),
            layers.Conv2DTranspose(3, int(kernel), strides=int(stride), padding=padding),
        ]
    )
    signature = [tf.TensorSpec((None, 4, 4, 2), tf.float32)]
    function = tf.function(lambda x: network(x), input_signature=signature)
    model, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=18)
    (node,) = [each for each in model.graph.node if each.op_type == "ConvTranspose"]
    pads = next(list(each.ints) for each in node.attribute if each.name == "pads")
    try:
        onnx.checker.check_model(model, full_check=True)
        checked = "passes"
    except Exception as error:
        assert "negative" in str(error), error
        checked = "refuses"
    rows = np.random.default_rng(0).normal(size=(2, 4, 4, 2)).astype(np.float32)
    place = Path(sys.argv[1], case)
    onnx.save(model, f"{place}.onnx")
    np.savez(f"{place}.npz", rows=rows, drawn=function(rows).numpy())
    print(f"kernel-stride-padding {case}: pads {pads}, the checker {checked}", flush=True)
PYTHON

cat >"$work/draw.py" <<'PYTHON'
import sys
from pathlib import Path

import numpy as np
import onnxruntime

for case in sys.argv[2:]:
    place = Path(sys.argv[1], case)
    known = np.load(f"{place}.npz")
    try:
        session = onnxruntime.InferenceSession(
            f"{place}.onnx", providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        assert "negative" in str(error), error
        print(f"onnxruntime {onnxruntime.__version__}: {case} refused")
        continue
    (drawn,) = session.run(None, {session.get_inputs()[0].name: known["rows"]})
    is_right = drawn.shape == known["drawn"].shape and np.abs(drawn - known["drawn"]).max() < 1e-5
    print(f"onnxruntime {onnxruntime.__version__}: {case} {'right' if is_right else 'wrong'}")
PYTHON

install keras tensorflow-cpu==2.21.0 keras==3.15.1 tf2onnx==1.17.0 onnx==1.23.2
install older onnxruntime==1.24.1
install newer onnxruntime==1.32.0

smaller=(1-2-same 2-3-same 2-3-valid 3-4-same)
control=(2-2-same 4-2-same 5-2-valid)
export TF_CPP_MIN_LOG_LEVEL=3 CUDA_VISIBLE_DEVICES=
if ! "$work/keras/bin/python" "$work/convert.py" "$work" "${smaller[@]}" "${control[@]}" \
    2>"$work/log" >"$work/told"; then
    tail -n 3 "$work/log"
    echo "could not be tried: the models cannot be made"
    exit 2
fi
for version in older newer; do
    "$work/$version/bin/python" "$work/draw.py" "$work" "${smaller[@]}" "${control[@]}" >>"$work/told"
done
cat "$work/told"

{
    for case in "${smaller[@]}"; do
        echo "kernel-stride-padding $case: pads [0, 0, -1, -1], the checker refuses"
        echo "onnxruntime 1.24.1: $case right"
        echo "onnxruntime 1.32.0: $case refused"
    done
    for case in "${control[@]}"; do
        grep "kernel-stride-padding $case: .*the checker passes" "$work/told" || true
        echo "onnxruntime 1.24.1: $case right"
        echo "onnxruntime 1.32.0: $case right"
    done
} >"$work/stated"
if ! diff <(sort "$work/stated") <(sort "$work/told"); then
    echo "CHANGED: the pads, the checker or ONNX Runtime"
    exit 1
fi
echo "as stated: the older ONNX Runtime draws rightly what the newer one refuses"
