"""The generated messages are those of the file, and gRPC's libraries are looked for in time."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from server.config_error import ConfigError
from server.grpc import installed

ROOT = Path(__file__).parents[3]
PROTO = "server/grpc/inference.proto"


def test_messages_are_those_that_make_proto_would_write(tmp_path):
    pytest.importorskip("grpc_tools")
    out = (f"--python_out={tmp_path}", f"--pyi_out={tmp_path}")
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I", ".", *out, PROTO]
    subprocess.run(command, cwd=ROOT, check=True)
    for written in (tmp_path / "server" / "grpc").iterdir():
        assert written.read_text() == (ROOT / "server" / "grpc" / written.name).read_text()


def test_what_is_missing_is_named_with_its_package(monkeypatch):
    installed.check_installed(9000)
    monkeypatch.setattr(
        installed, "find_spec", lambda name: None if name != "grpc" else importlib.util.find_spec
    )
    with pytest.raises(ConfigError) as raised:
        installed.check_installed(9000)
    told = str(raised.value)
    assert told.startswith("CARFRONT_GRPC_PORT is 9000; wanted ")
    assert "pip install grpcio-health-checking grpcio-reflection" in told


def test_arbiter_imports_no_grpc():
    code = "import sys, server.grpc.worker, server.grpc.installed; print('grpc' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ended.stdout == "False\n", ended.stderr
