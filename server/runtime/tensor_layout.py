"""Which memory layout a GPU's convolutions are faster in: measured once on it, and noted.

With the channels last (NHWC) tensor cores need no transposes; with the channels first (NCHW) cuDNN
has kernels for more shapes. Which one wins depends on the GPU, the precision and the network.
"""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from server.ipc.atomic_file import write_whole

log = logging.getLogger(__name__)

ROWS = 256
"""The rows of the batch that is timed."""
ROUNDS = 5
LAYOUTS = {"nchw": False, "nhwc": True}

Run = Callable[[int], object]
"""Runs a batch of so many rows."""


def faster_layout(
    prepare: Callable[[bool], Run],
    note: Path | None,
    clock: Callable[[], float] = time.perf_counter,
) -> bool:
    """Return whether NHWC is faster: what ``note`` says, or else measured and written there.

    ``prepare`` opens the graph in a layout, and raises where that cannot be.
    """
    if note and note.exists() and (name := note.read_text()) in LAYOUTS:
        return LAYOUTS[name]
    runs: dict[str, Run] = {}
    for name, nhwc in LAYOUTS.items():
        try:
            runs[name] = prepare(nhwc)
            runs[name](ROWS)  # the first time it chooses its kernels
        except Exception as error:
            runs.pop(name, None)
            log.warning("%s cannot be run: %s", name, error)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():  # in turns: what else the GPU does takes from either
            began = clock()
            run(ROWS)
            seconds[name].append(clock() - began)
    best = min(seconds, key=lambda name: float(np.median(seconds[name])), default="nchw")
    told = ", ".join(f"{name} {np.median(times) * 1e3:.2f} ms" for name, times in seconds.items())
    log.info("%d images in %s: %s it is", ROWS, told or "no layout", best)
    if note and runs:
        with suppress(OSError):  # a full file system takes no note
            write_whole(note, best)
    return LAYOUTS[best]
