"""Checks and measures the server on a GPU: ``make gpu-check``. Installs nothing.

Parity of every variant with the CPU's images, the golden self-test, CUDA graphs on and off, images
a second by bucket, how busy the card is, memory over millions of images, PyTorch and TensorFlow on
the same card, and the server over HTTP, a killed engine included. What is missing (a GPU, gunicorn,
wrk, PyTorch, ...) is told, and the rest is measured. ``--provider cpu`` goes the same way without
a GPU.
"""

import argparse
import json
import math
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from server.bundle.files import load_bundle
from server.bundle.latents import latents
from server.config import GPU_PROVIDERS
from server.runtime.benchmark import rate
from server.runtime.io_binding import IoBinding
from server.runtime.plans import EP_NAMES, Plan
from server.runtime.providers import cuda_options
from server.runtime.session import Session
from tests.gpu import rivals
from tests.gpu.card import busy, hardware, peak_tflops, used_mib

MFLOP = 192
"""Of one image, multiplications and additions apart."""
BUS_GB_PER_S = 64
"""Of PCI Express 5.0 with 16 lanes, one way."""
ROUNDS = 3


@dataclass(frozen=True)
class Way:
    """One way to run one variant on the device."""

    variant: str
    graphs: bool = False
    nhwc: bool = False
    tf32: bool = True

    def __str__(self) -> str:
        said = {"graphs": self.graphs, "nhwc": self.nhwc, "no tf32": not self.tf32}
        return " + ".join([self.variant, *(name for name, on in said.items() if on)])


WAYS = (
    Way("fp32", tf32=False),
    Way("fp32"),
    Way("fp32", graphs=True),
    Way("fp16"),
    Way("fp16", graphs=True),
    Way("fp16", graphs=True, nhwc=True),
)


class Check:
    """Everything that is found, and the means to find it."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.bundle = load_bundle(args.bundle)
        self.manifest = self.bundle.manifest
        self.found: dict[str, Any] = {"hardware": hardware(), "bundle": str(args.bundle)}
        self.faults: list[str] = []
        self.on_gpu = args.provider == "cuda"
        self.device = ("cuda" if self.on_gpu else "cpu", 0)
        self.limit = args.largest
        facts = self.manifest
        self.bytes_an_image = 4 * facts.latents.dim + math.prod(facts.image.shape)
        self.compiled = Path(tempfile.mkdtemp(prefix="carfront-tensorrt-"))

    def bound(self, way: Way) -> IoBinding:
        """Return a session that runs as ``way`` says."""
        options = ort.SessionOptions()
        options.log_severity_level = 3
        settings: dict[str, str] = {}
        if self.args.provider == "cuda":
            settings = cuda_options(0, way.graphs, way.nhwc) | {"use_tf32": str(int(way.tf32))}
        name = EP_NAMES[self.args.provider]
        path = self.bundle.path / self.manifest.variant(way.variant).file
        session = ort.InferenceSession(str(path), options, providers=[(name, settings)])
        if session.get_providers()[0] != name:
            raise RuntimeError(f"asked for {name}, got {session.get_providers()}")
        shape = self.manifest.image.shape
        return IoBinding(session, self.device, self.manifest.latents.dim, shape, way.graphs)

    def attempt(self, name: str, measure: Callable[[], Any]) -> None:
        """Keep what ``measure`` finds under ``name``, or why it found nothing."""
        began = time.monotonic()
        try:
            self.found[name] = measure()
        except Exception as error:  # whatever is missing or breaks, the rest is measured
            self.found[name] = {"not measured": f"{type(error).__name__}: {error}"}
        print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)

    # the images

    def parity(self) -> dict[str, Any]:
        """Compare each way's images with the CPU's in float32, which the bundle was proven with."""
        count = self.args.parity_images
        batch = latents(range(count), self.manifest.latents.dim)
        path = self.bundle.path / self.manifest.variant("fp32").file
        exact = Session(path, Plan("cpu", "f32"), os.cpu_count() or 1)
        wanted = np.concatenate([exact.run(batch[i : i + 64]) for i in range(0, count, 64)])
        golden = latents(self.manifest.golden.seeds, self.manifest.latents.dim)
        found = {}
        for way in WAYS:
            bound = self.bound(way)
            images = np.concatenate([bound.run(batch[i : i + 64]) for i in range(0, count, 64)])
            off = np.abs(images.astype(np.int16) - wanted)
            own = np.abs(bound.run(golden).astype(np.int16) - self.bundle.golden_images())
            again = [bound.run(batch[:rows]) for rows in (1, 3, 8, 33, 64)]
            found[str(way)] = {
                "levels": int(off.max()),
                "mean_levels": float(off.mean()),
                "identical": float((off == 0).mean()),
                "golden_levels": int(own.max()),
                "same_bits_in_any_bucket": all((x == images[: len(x)]).all() for x in again),
            }
            if own.max() > self.manifest.golden.tolerance:
                self.faults.append(f"{way}: golden images are off by {own.max()} levels")
        return found

    # the speed

    def rates(self) -> dict[str, dict[int, float]]:
        """Return images a second by way and bucket, one batch in flight."""
        found: dict[str, dict[int, float]] = {}
        for way in WAYS:
            bound = self.bound(way)
            bound.prepare(self.limit)
            found[str(way)] = {rows: self._rate([bound], rows) for rows in bound.sizes}
        return found

    def tensorrt(self) -> dict[str, Any]:
        """Return images a second by plan and batch size, of TensorRT where it is installed."""
        found: dict[str, Any] = {}
        batch = latents(self.manifest.golden.seeds, self.manifest.latents.dim)
        for plan in [Plan(x, y) for x in GPU_PROVIDERS[1:] for y in ("f32", "f16")]:
            try:
                path = self.bundle.path / self.manifest.variant(plan.variant).file
                session = Session(path, plan, 1, self.compiled)
                off = np.abs(session.run(batch).astype(np.int16) - self.bundle.golden_images())
                sizes = [rows for rows in (1, 64, 256, 1024) if rows <= self.limit]
                rates = {rows: self._rate([session], rows) for rows in sizes}
                found[str(plan)] = rates | {"golden_levels": int(off.max())}
            except Exception as error:  # not installed, most often
                found[str(plan)] = f"not measured: {type(error).__name__}: {error}"
        return found

    def in_flight(self) -> dict[str, float]:
        """Return images a second of the fastest way by how many batches are in flight."""
        way, rows = self._best()
        sessions = [self.bound(way) for _ in range(3)]
        for session in sessions:
            session.prepare(rows)
        return {str(n): self._rate(sessions[:n], rows) for n in (1, 2, 3)}

    def memory(self) -> dict[str, float]:
        """Run millions of images, and say what the device's memory was before and after, in MiB."""
        way, rows = self._best()
        bound = self.bound(way)
        batch = latents(range(rows), self.manifest.latents.dim)
        bound.run(batch)
        before, images = used_mib(), 0
        while images < self.args.images:
            bound.run(batch)
            images += rows
        after = used_mib()
        if after > before + 1:
            self.faults.append(f"memory grew from {before} to {after} MiB")
        return {"images": images, "before_mib": before, "after_mib": after}

    def _best(self) -> tuple[Way, int]:
        rates = {way: self.found["rates"][str(way)] for way in WAYS}
        way = max(rates, key=lambda x: max(rates[x].values()))
        return way, max(rates[way], key=lambda rows: rates[way][rows])

    def _rate(self, sessions: Sequence[IoBinding | Session], rows: int) -> float:
        dim, seconds = self.manifest.latents.dim, self.args.seconds
        return statistics.median(rate(sessions, rows, dim, seconds) for _ in range(ROUNDS))

    def pytorch(self) -> dict[str, float]:
        """Return images a second of PyTorch in float16, eager, with the Keras model's layers."""
        return rivals.pytorch(self.on_gpu, self.args.seconds)

    def tensorflow(self) -> dict[str, float]:
        """Return images a second of TensorFlow in float16, with the Keras model's layers."""
        return rivals.tensorflow(self.on_gpu, self.args.seconds)

    def kernels(self) -> dict[str, float]:
        """Return how busy the GPU is while the fastest way runs, and how much of it is used."""
        way, rows = self._best()
        sessions = [self.bound(way) for _ in range(2)]
        with busy() as found:
            reached = rate(sessions, rows, self.manifest.latents.dim, max(self.args.seconds, 0.2))
        found |= {"images_per_s": reached, "tflops": reached * MFLOP / 1e6}
        found["bus_gb_per_s"] = reached * self.bytes_an_image / 1e9
        found["of_the_bus"] = found["bus_gb_per_s"] / BUS_GB_PER_S
        if peak := peak_tflops(self.found["hardware"]["gpus"]):
            found["of_the_cards_tflops"] = found["tflops"] / peak
        return found

    # the server

    def http(self) -> dict[str, Any]:
        """Return what the server delivers with 16 HTTP workers, and how soon after a kill."""
        from loadtests import bench, wrk
        from loadtests.serving import serving

        if not shutil.which("wrk"):
            raise RuntimeError("wrk is not in PATH")
        settings = {
            "CARFRONT_PROVIDER": self.args.provider,
            "CARFRONT_WORKERS": str(self.args.workers),
            "CARFRONT_MODELS": str(self.args.bundle.parents[1]),
            "CARFRONT_VERSION": self.args.bundle.name,
            "CARFRONT_MAX_QUEUE_ROWS": "131072",
        }
        loads = [
            wrk.Load("1 PNG, 128 connections", 128, 1),
            wrk.Load("1 PNG, 1 connection", 1, 1),
            wrk.Load("64 as npy, 64 connections", 64, 64),
            wrk.Load("1,024 as npy, 32 connections", 32, 1024),
        ]
        found: dict[str, Any] = {}
        with serving(sys.executable, settings, ready_within_s=300) as server:
            for load in loads:
                with busy() as share:
                    found[load.name] = bench.run(server, load, self.args.http)
                found[load.name] |= share
            found |= self._half_load(server, found[loads[0].name]["images_per_s"])
            found["served_again_after_a_kill_s"] = served_again(server)
        return found

    def _half_load(self, server: Any, peak: float) -> dict[str, Any]:
        """Return what single images take when half of the peak is asked for, or a little more."""
        from loadtests import bench, wrk

        for connections in (1, 2, 4, 8, 16, 32, 64, 128):
            load = wrk.Load(f"1 PNG, half load: {connections} connections", connections, 1)
            found = bench.run(server, load, max(1, self.args.http // 2))
            if found["images_per_s"] >= peak / 2:
                return {load.name: found}
        return {}


def served_again(server: Any) -> float:
    """Kill the engine, ask for an image, and return after how many seconds it came."""
    import urllib.request

    from tests.chaos.processes import family

    os.kill(family(server.pid)[1][0], signal.SIGKILL)
    began = time.monotonic()
    with urllib.request.urlopen(f"{server.url}/v1/images/7.png", timeout=60) as response:
        response.read()
    return round(time.monotonic() - began, 2)


def table(check: Check) -> str:
    """Return what was found, for people."""
    found = check.found
    lines = [
        f"{', '.join(found['hardware']['gpus']) or 'no GPU'}, {found['hardware']['cpus']} CPUs"
    ]
    for name, values in found.items():
        if name in ("hardware", "bundle"):
            continue
        lines.append(f"\n{name}")
        for key, value in values.items():
            if isinstance(value, dict):
                value = "  ".join(f"{k} {_short(v)}" for k, v in value.items())
            lines.append(f"  {key:28} {value}")
    rates = found.get("rates", {})
    if "not measured" not in rates and rates:
        best = max(max(by_rows.values()) for by_rows in rates.values())
        lines.append(f"\nbest {best:,.0f} images/s, {best * MFLOP / 1e6:.1f} TFLOP/s")
    return "\n".join([*lines, *(f"fault: {fault}" for fault in check.faults)])


def _short(value: object) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


def main(argv: list[str] | None = None) -> int:
    """Check as the command line says; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu.check", description=__doc__)
    add = parser.add_argument
    add("--provider", choices=("cuda", "cpu"), default="cuda", help="cpu: the same without a GPU")
    add("--bundle", type=Path, default=Path("models/cars-dcgan/2"), help="what is run")
    add("--largest", type=int, default=4096, help="largest bucket (4096)")
    add("--seconds", type=float, default=0.5, help="seconds of each measurement (0.5)")
    add(
        "--images",
        type=int,
        default=10_000_000,
        help="images drawn to see that memory stays (10 million)",
    )
    add("--parity-images", type=int, default=4096, help="images compared with the CPU's (4096)")
    add("--http", type=int, default=8, help="seconds of each load over HTTP; 0: none")
    add("--workers", type=int, default=16, help="HTTP workers (16)")
    add("--save", type=Path, help="write all of it there as JSON")
    check = Check(parser.parse_args(argv))
    steps = {"parity": check.parity, "rates": check.rates, "in flight": check.in_flight}
    steps |= {"kernels": check.kernels, "tensorrt": check.tensorrt, "memory": check.memory}
    steps |= {"pytorch": check.pytorch, "tensorflow": check.tensorflow}
    steps |= {"http": check.http} if check.args.http else {}
    try:
        for name, step in steps.items():
            check.attempt(name, step)
    except KeyboardInterrupt:
        print("stopped; what was measured follows", file=sys.stderr)
    shutil.rmtree(check.compiled)
    print(table(check))
    if check.args.save:
        facts = {"command": " ".join(sys.argv[1:]), **check.found, "faults": check.faults}
        check.args.save.parent.mkdir(parents=True, exist_ok=True)
        check.args.save.write_text(json.dumps(facts, indent=2) + "\n")
    return 1 if check.faults else 0


if __name__ == "__main__":
    sys.exit(main())
