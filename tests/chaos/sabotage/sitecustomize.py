"""Loaded by Python at its start where this folder is on the path: ONNX Runtime fails on demand.

Whoever writes ``hang``, ``raise`` or ``memory`` into the file that ``SABOTAGE`` names has the next
batch of any engine do so, once; the file is gone then.

While the file beside it that ends in ``.hold`` says ``import`` or ``load``, an engine waits before
it has ONNX Runtime or opens a model; the one that ends in ``.held`` has the pid of who waits.
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
        init(self, *args, **kwargs)

    def run_or_fail(self, *args, **kwargs):
        if how := taken_order():
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
    if how == "memory":
        raise MemoryError("no memory, says the sabotage")
    raise RuntimeError(f"{how}, says the sabotage")


sys.meta_path.insert(0, Saboteur())
