"""The load generator wrk: the requests that it makes, and the results that it prints."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from loadtests.readings import MeasureError

ANY_SEED = "math.randomseed(os.time()); local seed = math.random(0, 2^52)\n"
SINGLE = (
    ANY_SEED
    + """
function request()
  seed = seed + 1
  return wrk.format("GET", "/v1/images/" .. string.format("%d", seed) .. ".png")
end
"""
)
MANY = (
    ANY_SEED
    + """
wrk.headers["Content-Type"] = "application/json"
function request()
  seed = seed + IMAGES
  local body = '{"n": IMAGES, "format": "npy", "seed": ' .. string.format("%d", seed) .. '}'
  return wrk.format("POST", "/v1/images", nil, body)
end
"""
)

TIMEOUT = "60s"
"""The timeout of an answer: a slow machine needs seconds for the images of 16 callers at once."""
PERCENTILE = r"\n\s+{}%\s+(\S+)"
"""The pattern of a percentile of the latency in wrk's output."""


@dataclass(frozen=True)
class Load:
    """One kind of load: ``connections`` keep-alive clients asking for ``images`` a request."""

    name: str
    connections: int
    images: int
    beside: "Load | None" = None
    """The load that other callers make at the same time; None without one."""

    @property
    def script(self) -> str:
        """The Lua script with which wrk makes the requests."""
        return SINGLE if self.images == 1 else MANY.replace("IMAGES", str(self.images))


def require() -> None:
    """Raise MeasureError if wrk is not installed."""
    if not shutil.which("wrk"):
        raise MeasureError("wrk is not installed; try: apt-get install wrk")


def command_for(load: Load, folder: Path, lua: str | None = None) -> list[str]:
    """Return the command of wrk for ``load``, without its duration and URL.

    ``lua`` makes the requests of a server that cannot be asked as ours is.
    """
    script = folder / f"{load.images}.lua"
    script.write_text(lua or load.script)
    options = ["--latency", "--timeout", TIMEOUT, "-s", str(script)]
    return ["wrk", "-t1", f"-c{load.connections}", *options]


@contextmanager
def running(command: list[str]) -> Iterator[None]:
    """Run ``command`` beside the measurement in the block, and end it afterwards."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def run(command: list[str]) -> str:
    """Run wrk and return its output.

    Raises:
        MeasureError: a request failed.
    """
    ended = subprocess.run(command, capture_output=True, text=True)
    text = ended.stdout + ended.stderr
    if ended.returncode or "Non-2xx" in text or "Socket errors" in text:
        raise MeasureError(f"requests failed: {text.strip()}")
    return text


def milliseconds(text: str) -> float:
    """Return wrk's ``1.20ms``, ``950.00us`` or ``1.10s`` in milliseconds."""
    found = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text)
    if found is None:
        raise MeasureError(f"wrk measured no time but {text!r}: was any request answered?")
    return float(found[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}[found[2]]
