#!/usr/bin/env bash
# onnxruntime-openvino 1.24.1 (with OpenVINO 2025.4 in it): `cache_dir` never saves a compilation.
#
# Expected: the first session with `cache_dir` compiles the model and leaves a blob in that folder;
# later ones read the blob, and are open sooner.
# Happens, on the device CPU: every session, in the same process or another, compiles the model and
# writes the blob again. OpenVINO by itself, of the same version and with the same model, takes the
# blob that it wrote and leaves it as it is.
# Seen: 2026-11-29, on Linux with an x86-64 processor, with Python 3.11.
#
# The times are printed, and not judged: they are the machine's. What is judged is whether the blob
# was written again.
#
# Ends with 0 when it is so, with 1 when that has changed, with 2 when it could not be tried.
set -euo pipefail

PYTHON=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

changed() {
    echo "CHANGED: $*"
    exit 1
}

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

install onnxruntime onnxruntime-openvino==1.24.1 onnx==1.22.0
install openvino openvino==2025.4.1

# A valid model: six convolutions with ReLU, float32 [N, 64, 16, 16] to the same.
cat >"$work/model.py" <<'PYTHON'
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

random = np.random.default_rng(0)
shape = ["N", 64, 16, 16]
nodes, weights, last = [], [], "x"
for layer in range(6):
    weight = random.normal(0, 0.05, (64, 64, 3, 3)).astype(np.float32)
    weights.append(numpy_helper.from_array(weight, f"weight{layer}"))
    nodes.append(helper.make_node("Conv", [last, f"weight{layer}"], [f"conv{layer}"], pads=[1] * 4))
    nodes.append(helper.make_node("Relu", [f"conv{layer}"], [f"relu{layer}"]))
    last = f"relu{layer}"
inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
outputs = [helper.make_tensor_value_info(last, TensorProto.FLOAT, shape)]
graph = helper.make_graph(nodes, "convolutions", inputs, outputs, weights)
opsets = [helper.make_opsetid("", 17)]
model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
onnx.checker.check_model(model, full_check=True)
onnx.save(model, sys.argv[1])
PYTHON

# Opens the model in a process of its own, and prints how long that took; `-` is no cache.
cat >"$work/session.py" <<'PYTHON'
import sys
import time

import onnxruntime

model, cache = sys.argv[1:]
options = {"device_type": "CPU"} | ({} if cache == "-" else {"cache_dir": cache})
began = time.perf_counter()
session = onnxruntime.InferenceSession(model, providers=[("OpenVINOExecutionProvider", options)])
print(f"session open after {1e3 * (time.perf_counter() - began):.0f} ms")
assert session.get_providers()[0] == "OpenVINOExecutionProvider"
PYTHON

cat >"$work/compile.py" <<'PYTHON'
import sys
import time

import openvino

model, cache = sys.argv[1:]
core = openvino.Core()
core.set_property({"CACHE_DIR": cache})
began = time.perf_counter()
compiled = core.compile_model(model, "CPU")
taken_ms = 1e3 * (time.perf_counter() - began)
print(f"compiled after {taken_ms:.0f} ms, from the cache: {compiled.get_property('LOADED_FROM_CACHE')}")
PYTHON

blobs() { # the names of the blobs in a folder, and when each was written, to the nanosecond
    stat --format '%n, written at %.9Y' "$1"/*.blob | sed 's|.*/||'
}

"$work/onnxruntime/bin/python" "$work/model.py" "$work/model.onnx"
mkdir "$work/cache" "$work/own-cache"

echo "onnxruntime-openvino without cache_dir:"
for _ in 1 2 3; do
    "$work/onnxruntime/bin/python" "$work/session.py" "$work/model.onnx" -
done

echo "onnxruntime-openvino with cache_dir:"
before=
for _ in 1 2 3; do
    "$work/onnxruntime/bin/python" "$work/session.py" "$work/model.onnx" "$work/cache"
    after=$(blobs "$work/cache")
    echo "    $after"
    [ "$after" != "$before" ] || changed "a later session left the blob as it was"
    [ -z "$before" ] || [ "${after%%,*}" = "${before%%,*}" ] || changed "it is another blob"
    before=$after
done

echo "the control, openvino alone with CACHE_DIR:"
before=
for _ in 1 2 3; do
    "$work/openvino/bin/python" "$work/compile.py" "$work/model.onnx" "$work/own-cache"
    after=$(blobs "$work/own-cache")
    echo "    $after"
    [ -z "$before" ] || [ "$after" = "$before" ] || changed "OpenVINO alone writes it again, too"
    before=$after
done
echo "as stated: every session wrote the blob again, OpenVINO alone wrote it once"
