"""How Ctrl-C and SIGTERM end the command."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPPED = "Stopped; every file is whole. The same command finishes it."
"""What is said after Ctrl-C where a command knows no more."""


class Terminated(KeyboardInterrupt):
    """SIGTERM has come, which ends a command as Ctrl-C does."""


def raise_terminated(_number: int, _frame: FrameType | None) -> None:
    """Raise ``Terminated``: a handler of SIGTERM."""
    raise Terminated


def leave(status: int) -> None:
    """End at once: threads that still wait for a server would keep the process for as long."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


@contextmanager
def ending_at_once() -> Iterator[None]:
    """Have both signals end the process for as long as the block lasts, which loads libraries.

    An exception would be lost there, or become another: where onnxruntime is interrupted while its
    library is loaded it raises ImportError. Nothing is written by then. A signal that is ignored,
    as a shell has it for what runs in the background, stays so.
    """
    numbers = [x for x in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(x) != signal.SIG_IGN]
    before = {number: signal.signal(number, _end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, _frame: FrameType | None) -> None:
    os.write(2, f"\n{STOPPED}\n".encode())
    os._exit(128 + number)
