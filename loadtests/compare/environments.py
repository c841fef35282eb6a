"""The peers' environments, each made from its own lock when it is first wanted."""

import subprocess
from collections.abc import Sequence
from functools import cache

from loadtests.peers.catalog import Peer
from loadtests.readings import MeasureError
from loadtests.serving import ROOT

VERSIONS = """
import importlib.metadata, json, platform, sys
found = {"python": platform.python_version()}
for name in sys.argv[1:]:
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""
RUNTIMES = ("onnxruntime-openvino", "onnxruntime", "onnxruntime-gpu")


@cache
def python_of(peer: Peer) -> str:
    """Return the peer's interpreter; make its environment if it is not there.

    Raises:
        MeasureError: the environment cannot be made; the message ends with the reason.
    """
    python = ROOT / ".venvs" / peer.environment / "bin" / "python"
    if not python.exists():
        print(f"making the environment .venvs/{peer.environment}", flush=True)
        chosen = [f"PYTHON={peer.system_python}"] if peer.system_python else []
        target = f".venvs/{peer.environment}/.done"
        ended = subprocess.run(
            ["make", "-s", *chosen, target], cwd=ROOT, capture_output=True, text=True
        )
        if ended.returncode:
            raise MeasureError(f"make {target} failed: {_last_line(ended.stderr)}")
    return str(python)


def versions(python: str, packages: Sequence[str]) -> str:
    """Return the versions of an environment's Python, packages and runtime, as JSON."""
    command = [python, "-c", VERSIONS, *packages, *RUNTIMES]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _last_line(text: str) -> str:
    """Return the last line that says why, without make's own words."""
    lines = [x for x in text.strip().splitlines() if not x.startswith("make")]
    return lines[-1] if lines else "it says nothing"
