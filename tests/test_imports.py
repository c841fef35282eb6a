"""The server's image has no training library, and must not need one."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FORBIDDEN = ("tensorflow", "keras", "tf2onnx", "onnx", "training", "export", "loadtests")
IMPORT_ALL = """
import importlib, pkgutil, sys
for name in {forbidden!r}:
    sys.modules[name] = None  # an import of it raises
import server
for module in pkgutil.walk_packages(server.__path__, "server."):
    if not module.name.endswith(".conf"):
        importlib.import_module(module.name)
print(len([name for name in sys.modules if name.startswith("server.")]))
"""


def test_every_module_of_the_server_imports_without_the_training_libraries():
    code = IMPORT_ALL.format(forbidden=FORBIDDEN)
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) >= 15


def test_serving_requirements_hold_no_training_library():
    for lock in ("serve.txt", "serve-gpu.txt", "serve-tracing.txt"):
        text = (ROOT / "requirements" / lock).read_text()
        names = {line.split("==")[0].split("[")[0] for line in text.splitlines() if "==" in line}
        assert not names & {"tensorflow", "tensorflow-cpu", "keras", "tf2onnx", "onnx", "pillow"}
        assert "flask" in names


def test_locks_hold_hashes_and_no_addresses():
    for lock in (ROOT / "requirements").glob("*.txt"):
        text = lock.read_text()
        assert "://" not in text
        assert "--index-url" not in text
        assert "--find-links" not in text
        pins = [line for line in text.splitlines() if "==" in line and line[0].isalnum()]
        assert text.count("--hash=sha256:") >= len(pins) > 10


def test_what_is_exported_and_tested_runs_on_the_runtime_that_serves():
    """Else the export would prove plans that no server runs."""
    serve, tracing, dev = (
        {line.rstrip(" \\") for line in text.splitlines() if line.startswith("onnxruntime")}
        for text in (
            (ROOT / "requirements" / f"{name}.txt").read_text()
            for name in ("serve", "serve-tracing", "dev")
        )
    )
    assert serve == tracing == dev
    assert {line.split("==")[0] for line in serve} == {"onnxruntime", "onnxruntime-openvino"}
    assert all(" ; " in line for line in serve)  # one of the two is installed, never both
