"""The bundle written to disk as a whole, or not at all.

The bundle is made in ``models/<name>/.partial-<random>/bundle`` and renamed to its final path at
the end. A draft lies one level too deep to be found as a version, and its manifest is written last.
A draft that a killed export left behind is removed by the next export of the same model.
"""

import ctypes
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from export.errors import VersionExists

DRAFTS = ".partial-"
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


@contextmanager
def draft_of(target: Path, force: bool) -> Iterator[Path]:
    """Yield an empty directory that becomes ``target`` at the end; an error leaves no trace.

    Raises:
        VersionExists: ``target`` exists and ``force`` is not given.
    """
    check_free(target, force)
    folder = target.parent
    made = [x for x in (folder.parent, folder) if not x.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    room = Path(tempfile.mkdtemp(prefix=DRAFTS, dir=folder))
    lock = os.open(room, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the lock tells a sweeping export that this one is alive
        draft = room / "bundle"
        draft.mkdir()
        yield draft
        _sync(draft)
        _publish(draft, target, force)
        for parent in (folder, folder.parent):
            _sync_one(parent)
    finally:
        shutil.rmtree(room, ignore_errors=True)
        os.close(lock)
        for empty in reversed(made):
            with suppress(OSError):  # a directory that holds the bundle is not empty
                empty.rmdir()


def check_free(target: Path, force: bool) -> None:
    """Check that ``target`` may be written.

    Raises:
        VersionExists: ``target`` exists and ``force`` is not given.
    """
    if target.exists() and not force:
        raise VersionExists(
            f"{target} exists already; give the next --version, or --force to replace it"
        )


def _publish(draft: Path, target: Path, force: bool) -> None:
    try:
        draft.rename(target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        check_free(target, force)
        _replace(draft, target)


def _replace(draft: Path, target: Path) -> None:
    """Move ``draft`` to ``target``; the old bundle ends in the draft's directory."""
    libc = ctypes.CDLL(None, use_errno=True)
    paths = (_AT_FDCWD, os.fsencode(draft), _AT_FDCWD, os.fsencode(target))
    if hasattr(libc, "renameat2") and libc.renameat2(*paths, _RENAME_EXCHANGE) == 0:
        return
    old = draft.with_name("old")  # without an exchange, neither bundle is there for a moment
    target.rename(old)
    try:
        draft.rename(target)
    except BaseException:
        old.rename(target)
        raise


def _sweep(folder: Path) -> None:
    for room in folder.glob(f"{DRAFTS}*"):
        with suppress(OSError):  # BlockingIOError: another export is writing there
            lock = os.open(room, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(room)
            finally:
                os.close(lock)


def _sync(folder: Path) -> None:
    for path in folder.iterdir():
        _sync_one(path)
    _sync_one(folder)


def _sync_one(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
