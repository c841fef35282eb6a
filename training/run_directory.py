"""The run directory: one training at a time has it, and it keeps to one recipe."""

import fcntl
import json
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from training.config import DEFAULTS
from training.lineage import write_json

LOCK = "lock"
"""The file whose lock a training holds; the file names the process that held it last."""


class RunDirectoryError(Exception):
    """The run directory cannot be used: it cannot be written, or it is another training's."""


class RunMismatch(RunDirectoryError):
    """The run directory belongs to a run with other settings, or with more epochs."""


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Make ``folder``, and keep other trainings out of it until the block ends.

    The kernel frees the lock when the process ends, however it ends.

    Raises:
        RunDirectoryError: nothing can be written in ``folder``, or another process trains there.
    """
    make_writable(folder)
    with (folder / LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise RunDirectoryError(
                f"--out {folder} is in use: {file.read().strip() or 'another process'} trains "
                "there; wait for its end, or give another --out"
            ) from None
        except OSError as error:
            raise _unwritable(folder, error) from error
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        yield


def make_writable(folder: Path) -> None:
    """Make ``folder`` if it is not there, and check that files can be made in it.

    Raises:
        RunDirectoryError: they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> RunDirectoryError:
    reason = "it is no folder" if isinstance(error, FileExistsError) else error.strerror
    return RunDirectoryError(
        f"--out {folder} cannot be written: {reason}; give a folder that can be"
    )


def claim(folder: Path, recipe: dict[str, Any]) -> None:
    """Make ``folder`` this run's own, or check that it was made with the same ``recipe``.

    A setting that is younger than the folder had its default value when that run began.

    Raises:
        RunMismatch: the directory's run has other settings; the message names them.
    """
    recipe = json.loads(json.dumps(recipe))
    path = folder / "recipe.json"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_json(path, recipe)
        return
    was = json.loads(json.dumps(DEFAULTS)) | json.loads(path.read_text())
    names = [name for name in recipe if recipe[name] != was.get(name)]
    if names:
        changed = ", ".join(f"{name} was {was.get(name)!r}, is {recipe[name]!r}" for name in names)
        raise RunMismatch(
            f"{folder} holds a run with other settings ({changed}); go on with the old ones, "
            "or give another --out"
        )


def check_epochs(folder: Path, wanted: int, reached: int) -> None:
    """Check that a run that has ``reached`` an epoch already is to have as many, or more.

    Raises:
        RunMismatch: fewer epochs are ``wanted``; what was trained cannot be taken back.
    """
    if wanted < reached:
        raise RunMismatch(
            f"{folder} has reached epoch {reached}, and --epochs is {wanted}; give {reached} or "
            "more, or another --out"
        )
