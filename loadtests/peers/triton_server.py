"""The real Triton, with its dynamic batching: ``python -m loadtests.peers.triton_server``.

``tritonserver`` comes in the wheel of nvidia-pytriton, which has Python's backend alone: a process
of Triton's opens the session of ONNX Runtime, as ``triton_model`` says. The configuration is the
one that ``python -m export.layout`` writes for Triton's ONNX Runtime backend, but for the backend's
name. That process embeds the library of Debian's Python 3.11.
"""

import argparse
import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path

from loadtests.peers.drawing import LATENT_DIM, MAX_BATCH_SIZE
from loadtests.serving import ROOT

CONFIG = f"""\
name: "cars-dcgan"
backend: "python"
max_batch_size: {MAX_BATCH_SIZE}
input [{{ name: "latents" data_type: TYPE_FP32 dims: [{LATENT_DIM}] }}]
output [{{ name: "images" data_type: TYPE_UINT8 dims: [32, 32, 3] }}]
dynamic_batching {{ }}
"""


STUB = "triton_python_backend_stub"
"""The program that runs the model, one for each Python; Triton wants it beside its backend."""


def laid_out(folder: Path, home: Path) -> tuple[Path, Path]:
    """Return a model repository and a folder of backends for the Triton with its files in ``home``.

    Both are written into ``folder``.
    """
    version = folder / "models" / "cars-dcgan" / "2"
    version.mkdir(parents=True)
    (version.parent / "config.pbtxt").write_text(CONFIG)
    shutil.copyfile(Path(__file__).with_name("triton_model.py"), version / "model.py")
    shutil.copytree(home / "backends", folder / "backends")
    stub = folder / "backends" / "python" / STUB
    python = ".".join(map(str, sys.version_info[:2]))
    shutil.copyfile(home / "python_backend_stubs" / python / STUB, stub)
    stub.chmod(0o755)
    return folder / "models", folder / "backends"


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="the loopback port")
    args = parser.parse_args()
    found = importlib.util.find_spec("pytriton")
    if found is None or found.origin is None:
        parser.error("there is no nvidia-pytriton; make .venvs/peers-triton/.done")
    packages = Path(found.origin).parents[1]
    home = packages / "pytriton" / "tritonserver"
    models, backends = laid_out(Path(tempfile.mkdtemp(prefix="triton-")), home)
    os.environ |= {
        "LD_LIBRARY_PATH": str(packages / "nvidia_pytriton.libs"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    command = [str(home / "bin" / "tritonserver"), f"--model-repository={models}"]
    command += [f"--backend-directory={backends}", "--http-address=127.0.0.1"]
    command += [f"--http-port={args.port}", "--allow-grpc=false", "--allow-metrics=false"]
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
