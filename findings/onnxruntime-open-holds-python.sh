#!/usr/bin/env bash
# onnxruntime-openvino 1.24.1: no other thread of Python runs while a session is opened.
#
# Expected: InferenceSession(...) works in C++ for as long as it takes to read, fold and compile a
# graph, and gives Python's lock up meanwhile, as session.run does. A server opens the next model
# in a thread, and goes on answering.
# Happens: the lock is held nearly all the time, with OpenVINO's provider and with ONNX Runtime's own,
# which is tried here. A thread that wants to run every millisecond does not while a session is
# opened in another one. onnxruntime 1.32.0 gives the lock up.
# Seen: 2026-11-30, on Python 3.11, two CPUs. Needs Linux on x86-64.
#
# Ends with 0 when it is so, with 1 when that has changed, with 2 when it could not be tried.
set -euo pipefail

PYTHON=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat >"$work/held.py" <<'PROGRAM'
"""Tells whether other threads run while a session is opened; with "run", while it runs."""

import sys
import threading
import time

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

SIZE, STEPS, TRIES = 1024, 12, 3


def graph(of_constants):
    """Return products of matrices: of constants, which opening folds, or of the input."""
    square = numpy_helper.from_array(np.full((SIZE, SIZE), 1e-3, np.float32), "square")
    first = "square" if of_constants else "x"
    nodes = [
        helper.make_node("MatMul", [first if n == 0 else f"y{n}", "square"], [f"y{n + 1}"])
        for n in range(STEPS)
    ]
    nodes.append(helper.make_node("Add", [f"y{STEPS}", "x"], ["sum"]))
    x, total = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [SIZE, SIZE]) for name in ("x", "sum")
    )
    made = helper.make_graph(nodes, "products", [x], [total], [square])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


def held(work):
    """Return for which part of the time that work takes no other thread has run, at a stretch."""
    gaps, done = [], threading.Event()

    def tick():
        last = time.perf_counter()
        while not done.is_set():
            time.sleep(0.001)
            now = time.perf_counter()
            gaps.append(now - last)
            last = now

    thread = threading.Thread(target=tick)
    thread.start()
    time.sleep(0.1)
    gaps.clear()
    began = time.perf_counter()
    work()
    took = time.perf_counter() - began
    time.sleep(0.02)
    done.set()
    thread.join()
    print(f"    {took:.3f} s, of which nobody else ran for {max(gaps):.3f} s at a stretch")
    return max(gaps) / took


def opened(data):
    return ort.InferenceSession(data, providers=["CPUExecutionProvider"])


work, x = sys.argv[1], np.zeros((SIZE, SIZE), np.float32)
data = graph(of_constants=work == "open")
session = opened(graph(of_constants=False))
print(f"{ort.__version__}, {work}:")
does = {"open": lambda: opened(data), "run": lambda: session.run(None, {"x": x})}
parts = sorted(held(does[work]) for _ in range(TRIES))
sys.exit(10 if parts[TRIES // 2] > 0.5 else 0)
PROGRAM

is_held() { # a package, and what is done with it: whether Python's lock is held meanwhile
    local status=0
    if [ ! -e "$work/$1" ]; then
        "$PYTHON" -m venv "$work/$1"
        if ! "$work/$1/bin/pip" --disable-pip-version-check install --quiet "$1" onnx numpy \
            >"$work/installed" 2>&1; then
            tail -n 3 "$work/installed"
            echo "could not be tried: $1 cannot be installed"
            exit 2
        fi
    fi
    "$work/$1/bin/python" "$work/held.py" "$2" || status=$?
    case $status in
    0) return 1 ;;
    10) return 0 ;;
    *) echo "could not be tried: $1 ended with $status"; exit 2 ;;
    esac
}

# The controls: the same release runs a session beside other threads, and a newer one opens it so.
for control in "onnxruntime-openvino==1.24.1 run" "onnxruntime==1.32.0 open"; do
    # shellcheck disable=SC2086
    if is_held $control; then
        echo "could not be tried: $control does not let others run, or the machine is too busy"
        exit 2
    fi
done
if is_held onnxruntime-openvino==1.24.1 open; then
    echo "as stated"
else
    echo "CHANGED: other threads run while a session is opened"
    exit 1
fi
