#!/usr/bin/env bash
# onnxruntime-web 1.30.0, provider webgl: an activation after a Reshape reads other values.
#
# Expected: Reshape and Tanh give in WebGL what they give in WebAssembly, but for rounding.
# Happens: no error, and the numbers are others. The input's texture keeps its width and height through the
# Reshape, and the activation takes the output's for them. LeakyRelu does the same, and so does either
# after a DepthToSpace, as at the end of a network that draws images.
# Seen: 2026-11-30, with Debian's Chromium, headless, WebGL by SwiftShader.
#
# The controls are Tanh alone, and Reshape and Tanh with the provider wasm.
#
# Needs npm and chromium beside Python.
# Ends with 0 when it is so, with 1 when that has changed, with 2 when it could not be tried.
set -euo pipefail

PYTHON=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

not_tried() {
    echo "could not be tried: $*"
    exit 2
}

for program in npm chromium; do
    command -v "$program" >/dev/null || not_tried "$program is not there"
done
"$PYTHON" -m venv "$work/venv"
"$work/venv/bin/pip" --disable-pip-version-check install --quiet onnx==1.23.2 2>"$work/log" ||
    not_tried "onnx cannot be installed"
(cd "$work" && npm install --silent --no-audit --no-fund onnxruntime-web@1.30.0 >log 2>&1) ||
    not_tried "onnxruntime-web cannot be installed"

# Float32 [1, 192] in both models; one is shaped to [1, 3, 8, 8] before its Tanh.
cat >"$work/models.py" <<'PYTHON'
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

shape = numpy_helper.from_array(np.array([1, 3, 8, 8], np.int64), "shape")
for name, nodes, output, weights in (
    ("tanh", [helper.make_node("Tanh", ["x"], ["y"])], [1, 192], []),
    (
        "reshape",
        [helper.make_node("Reshape", ["x", "shape"], ["r"]), helper.make_node("Tanh", ["r"], ["y"])],
        [1, 3, 8, 8],
        [shape],
    ),
):
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 192])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, output)
    graph = helper.make_graph(nodes, name, [x], [y], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, f"{name}.onnx")
PYTHON

cat >"$work/page.html" <<'HTML'
<!doctype html>
<script type="module">
  const differences = {};
  try {
    const x = Float32Array.from({ length: 192 }, (_, i) => Math.sin(i * i));
    for (const [library, provider] of [["ort.webgl.min.mjs", "webgl"], ["ort.wasm.min.mjs", "wasm"]]) {
      const ort = await import(`/node_modules/onnxruntime-web/dist/${library}`);
      ort.env.wasm.numThreads = 1;
      for (const model of ["tanh", "reshape"]) {
        const session = await ort.InferenceSession.create(`/${model}.onnx`, { executionProviders: [provider] });
        const { y } = await session.run({ x: new ort.Tensor("float32", x, [1, 192]) });
        const off = (await y.getData()).map((value, i) => Math.abs(value - Math.tanh(x[i])));
        differences[`${model} ${provider}`] = Math.max(...off);
      }
    }
  } catch (error) {
    differences.error = String(error);
  }
  await fetch("/", { method: "POST", body: JSON.stringify(differences) });
</script>
HTML

# Serves the folder, has Chromium open the page, and judges what it posts.
cat >"$work/judge.py" <<'PYTHON'
import json
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

flags = ["--headless", "--no-sandbox", "--no-first-run", "--disable-background-networking"]
flags += ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--user-data-dir=profile"]
SimpleHTTPRequestHandler.extensions_map |= {".mjs": "text/javascript", ".wasm": "application/wasm"}
posted, done = {}, threading.Event()


class Handler(SimpleHTTPRequestHandler):
    def do_POST(self):
        posted.update(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()
        done.set()

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
address = f"http://127.0.0.1:{server.server_port}/page.html"
null = subprocess.DEVNULL
chromium = subprocess.Popen(["chromium", *flags, address], stdout=null, stderr=null)
done.wait(120)
chromium.terminate()
chromium.wait()
for name, off in posted.items():
    print(f"{name}: {off if name == 'error' else f'off by {off:.2g}'}")
if len(posted) != 4:
    print("could not be tried: the page did not end as it should")
    sys.exit(2)
right = {name for name, off in posted.items() if off < 1e-5}
if right != {"tanh webgl", "tanh wasm", "reshape wasm"}:
    print("CHANGED: Reshape and Tanh are right in WebGL, or a control is not")
    sys.exit(1)
print("as stated: Reshape and Tanh are right in WebAssembly, and not in WebGL")
PYTHON

cd "$work"
venv/bin/python models.py
status=0
venv/bin/python judge.py || status=$?
exit $status
