"""Loaded by Python at its start where this folder is on the path: ONNX Runtime fails on demand.

Whoever writes ``hang``, ``raise``, ``memory`` or ``slow`` into the file that ``SABOTAGE`` names has
the next batch of any engine do so, once, or take 2 s; the file is gone then. A batch draws for
callers: those with which a session is proven or warmed up, in the loader's threads, take no order.

While the file beside it that ends in ``.hold`` says ``import`` or ``load``, an engine waits before
it has ONNX Runtime or opens a model; the one that ends in ``.held`` has the pid of who waits.

The file beside it that ends in ``.loads`` has a line for each model that is opened next: the number
of a signal that ends the engine, or ``spin``, for 8 s at work with Python's lock held.
"""

import os
import sys
import threading
import time
from contextlib import suppress
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder
from pathlib import Path

FILE = Path(os.environ["SABOTAGE"])
SPIN_S = 8
"""The seconds for which a load may hold Python's lock."""
SLOW_S = 2
"""The seconds that a slow batch takes at least."""


class Saboteur(MetaPathFinder):
    """Waits for the process that imports ONNX Runtime: only the engine may."""

    def find_spec(self, name, path, target=None):
        spec = PathFinder.find_spec(name, path) if name == "onnxruntime" else None
        if spec is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_spoil(module):
            wait_at("import")
            execute(module)
            spoil(module.InferenceSession)

        spec.loader.exec_module = execute_and_spoil
        return spec


def spoil(session):
    """Have sessions wait where they shall, and look for an order before each batch."""
    init, run = session.__init__, session.run

    def wait_and_init(self, *args, **kwargs):
        wait_at("load")
        meet(next_load())
        init(self, *args, **kwargs)

    def run_or_fail(self, *args, **kwargs):
        draws_for_callers = threading.current_thread().name.startswith("stream")
        if draws_for_callers and (how := taken_order()):
            fail(how)
        return run(self, *args, **kwargs)

    session.__init__, session.run = wait_and_init, run_or_fail


def wait_at(step):
    """Wait here for as long as engines are held at ``step``."""
    draft = FILE.with_suffix(f".{os.getpid()}.held")
    with suppress(FileNotFoundError):
        while FILE.with_suffix(".hold").read_text() == step:
            draft.write_text(str(os.getpid()))
            draft.rename(FILE.with_suffix(".held"))  # whole: who reads it never finds it empty
            time.sleep(0.02)  # between two looks


def next_load():
    """Return what the load of this model shall meet, empty if nothing."""
    orders = FILE.with_suffix(".loads")
    with suppress(FileNotFoundError):
        first, *rest = orders.read_text().split() or [""]
        orders.write_text("\n".join(rest))
        return first
    return ""


def meet(order):
    """Do it."""
    if order == "spin":
        interval, ends = sys.getswitchinterval(), time.monotonic() + SPIN_S
        sys.setswitchinterval(1000)  # nobody else gets the lock before
        while time.monotonic() < ends:
            pass
        sys.setswitchinterval(interval)
    elif order:
        os.kill(os.getpid(), int(order))


def taken_order():
    """Return what this batch shall do; of several that run at once, one takes the order."""
    taken = FILE.with_suffix(f".{threading.get_native_id()}")
    try:
        FILE.rename(taken)
    except FileNotFoundError:
        return ""
    how = taken.read_text()
    taken.unlink()
    return how


def fail(how):
    """Do it."""
    if how == "hang":
        threading.Event().wait()
    if how == "slow":
        time.sleep(SLOW_S)
        return
    if how == "memory":
        raise MemoryError("no memory, says the sabotage")
    raise RuntimeError(f"{how}, says the sabotage")


sys.meta_path.insert(0, Saboteur())
