"""Kills parts of a serving server for minutes and checks every image that it returns meanwhile.

Clients ask without pause for single PNGs and for many images as npy, and compare each with the one
that the server drew of the same seed before anything was broken. A fault happens every few
seconds. A wrong image, an error status, or a recovery that takes too long is a failure; a
connection that breaks, as a killed HTTP worker's do, is counted, and the request made again.
"""

import argparse
import http.client
import io
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from loadtests.serving import ServerFailed, serving
from tests.bundles import copy_version

SEEDS = 4096
"""Images that are asked for: the seeds 0 to 4095."""
RETRY_WITHIN_S = 60.0


class Client:
    """One keep-alive connection that is made anew when it breaks."""

    def __init__(self, url: str, broken: Callable[[], None]) -> None:
        self._place = urlsplit(url).netloc
        self._broken = broken
        self._connection = http.client.HTTPConnection(self._place, timeout=RETRY_WITHIN_S)

    def ask(self, method: str, path: str, body: dict[str, object] | None = None) -> bytes:
        """Return a 200's body, asking again when the connection breaks.

        Raises:
            RuntimeError: the answer was another one.
        """
        data = json.dumps(body) if body else None
        headers = {"Content-Type": "application/json"} if body else {}
        deadline = time.monotonic() + RETRY_WITHIN_S
        while True:
            try:
                self._connection.request(method, path, data, headers)
                response = self._connection.getresponse()
                answer = response.read()
            except (OSError, http.client.HTTPException):
                self._broken()
                self._connection.close()
                if time.monotonic() > deadline:
                    raise
                continue
            if response.status != 200:
                raise RuntimeError(f"{response.status} {answer[:200]!r}")
            return answer

    def png(self, seed: int) -> np.ndarray:
        """Return one image, asked for as a PNG."""
        return np.asarray(Image.open(io.BytesIO(self.ask("GET", f"/v1/images/{seed}.png"))))

    def npy(self, seed: int, n: int) -> np.ndarray:
        """Return ``n`` images, asked for as npy."""
        body = {"seed": seed, "n": n, "format": "npy"}
        return np.load(io.BytesIO(self.ask("POST", "/v1/images", body)))


class Clients:
    """Threads that ask and compare until they are told to stop."""

    def __init__(self, url: str, golden: np.ndarray, count: int) -> None:
        self.counts: Counter[str] = Counter()
        self.errors: list[str] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._url, self._golden = url, golden
        self._threads = [threading.Thread(target=self._loop, args=(k,)) for k in range(count)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End all threads, after the answers they wait for."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _loop(self, number: int) -> None:
        rng = random.Random(number)
        client = Client(self._url, lambda: self._count("broken connections"))
        while not self._stop.is_set():
            n = rng.choice((1, 1, 1, 1, 1, 1, 16, 64, 512))
            seed = rng.randrange(SEEDS - n)
            try:
                images = client.png(seed)[None] if n == 1 else client.npy(seed, n)
            except Exception as error:
                self._count("errors")
                self.errors.append(f"seed {seed}, n {n}: {error}")
                continue
            right = np.array_equal(images, self._golden[seed : seed + n])
            self._count("requests")
            self._count("images", n)
            self._count("wrong answers", 0 if right else 1)

    def _count(self, what: str, more: int = 1) -> None:
        with self._lock:
            self.counts[what] += more


def family(arbiter: int) -> tuple[list[int], list[int], list[int]]:
    """Return the pids of a server's HTTP workers, its engine, and the engine's arbiter."""
    command = ["ps", "-e", "-o", "pid=,ppid="]
    rows = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    children: dict[int, list[int]] = {}
    for pid, parent in (map(int, row.split()) for row in rows):
        children.setdefault(parent, []).append(pid)
    own = children.get(arbiter, [])
    arbiters = [pid for pid in own if pid in children]
    workers = [pid for pid in own if pid not in children]
    return workers, [pid for each in arbiters for pid in children[each]], arbiters


def kill(pids: list[int], number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to the first of ``pids`` that is still there."""
    for pid in pids[:1]:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return


def freeze(pids: list[int]) -> None:
    """Stop a process for a second, as a machine that swaps would."""
    kill(pids, signal.SIGSTOP)
    time.sleep(1.0)
    kill(pids, signal.SIGCONT)


def switch(models: Path, arbiter: int) -> None:
    """Have another version of the model take over: the next one appears, or goes again."""
    newer = models / "cars-dcgan" / "2"
    if newer.exists():
        shutil.rmtree(newer)
    else:
        copy_version(models, "2")
    os.kill(arbiter, signal.SIGHUP)


def spoil(models: Path, arbiter: int) -> None:
    """Have a version appear that cannot be served."""
    newest = models / "cars-dcgan" / "99"
    shutil.rmtree(newest, ignore_errors=True)
    newest.mkdir()
    (newest / "manifest.json").write_text(random.choice(("", "{}", '{"schema_version": 99}')))
    os.kill(arbiter, signal.SIGHUP)


def faults(arbiter: int, runtime_dir: Path, models: Path) -> dict[str, Callable[[], None]]:
    """Return what can be done to a server, by name."""
    return {
        "another version (SIGHUP)": lambda: switch(models, arbiter),
        "a spoilt version (SIGHUP)": lambda: spoil(models, arbiter),
        "kill -9 the engine": lambda: kill(family(arbiter)[1]),
        "kill -9 an HTTP worker": lambda: kill(family(arbiter)[0]),
        "kill -9 the engine's arbiter": lambda: kill(family(arbiter)[2]),
        "freeze the engine": lambda: freeze(family(arbiter)[1]),
        "freeze an HTTP worker": lambda: freeze(family(arbiter)[0]),
        "reload (SIGHUP)": lambda: os.kill(arbiter, signal.SIGHUP),
        "remove the socket, kill the engine": lambda: (
            (runtime_dir / "engine-0" / "engine.sock").unlink(missing_ok=True),
            kill(family(arbiter)[1]),
        ),
    }


def main(argv: list[str] | None = None) -> int:
    """Run the chaos as the command line says; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.run", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120, help="how long (120)")
    parser.add_argument("--every", type=float, default=4, help="seconds between faults (4)")
    parser.add_argument("--clients", type=int, default=16, help="at the same time (16)")
    parser.add_argument("--recovery", type=float, default=3, help="seconds it may take (3)")
    parser.add_argument("--seed", type=int, default=0, help="decides the order of the faults")
    parser.add_argument("--python", default=sys.executable, help="the serving interpreter")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="carfront-chaos-") as folder:
        try:
            models = Path(folder) / "models"
            copy_version(models, "1")
            settings = {"CARFRONT_RUNTIME_DIR": folder, "CARFRONT_MODELS": str(models)}
            with serving(args.python, settings) as server:
                ways = faults(server.pid, Path(folder), models)
                return chaos(server.url, ways, args)
        except ServerFailed as error:
            print(f"chaos FAILED: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130


def chaos(url: str, ways: dict[str, Callable[[], None]], args: argparse.Namespace) -> int:
    """Break ``url`` for ``args.seconds``, print what came of it, and return the exit status."""
    golden = Client(url, lambda: None).npy(0, SEEDS)
    clients = Clients(url, golden, args.clients)
    rng = random.Random(args.seed)
    recoveries: dict[str, list[float]] = {}
    order = rng.sample(list(ways), len(ways))
    ends = time.monotonic() + args.seconds
    try:
        while time.monotonic() < ends:
            time.sleep(args.every)
            name = order[sum(map(len, recoveries.values())) % len(order)]
            ways[name]()
            began = time.monotonic()
            for _ in range(3):  # new connections, so that more than one worker is asked
                Client(url, lambda: None).png(rng.randrange(SEEDS))
            recoveries.setdefault(name, []).append(time.monotonic() - began)
            print(f"{name}: served again after {recoveries[name][-1]:.2f} s", flush=True)
    finally:
        clients.stop()
    return verdict(clients, recoveries, args.recovery)


def verdict(clients: Clients, recoveries: dict[str, list[float]], limit_s: float) -> int:
    """Print the result and return the exit status."""
    print(f"\n{'fault':36}{'times':>6}{'median s':>10}{'longest s':>11}")
    for name, seconds in sorted(recoveries.items()):
        print(f"{name:36}{len(seconds):6}{statistics.median(seconds):10.2f}{max(seconds):11.2f}")
    print("\n" + ", ".join(f"{value:,} {name}" for name, value in sorted(clients.counts.items())))
    for error in clients.errors[:20]:
        print(f"  {error}")
    slowest = max((max(seconds) for seconds in recoveries.values()), default=0.0)
    failed = clients.counts["wrong answers"] or clients.counts["errors"] or slowest > limit_s
    print("chaos FAILED" if failed else "chaos passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
