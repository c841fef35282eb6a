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

from export.errors import RepositoryUnwritable, VersionExists

DRAFTS = ".partial-"
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


@contextmanager
def draft_of(target: Path, force: bool, size: int = 0) -> Iterator[Path]:
    """Yield an empty directory that becomes ``target`` at the end; an error leaves no trace.

    ``size`` is about how many bytes the bundle will have.

    Raises:
        RepositoryUnwritable: a directory cannot be made there, or has no room for the bundle.
        VersionExists: ``target`` exists and ``force`` is not given.
    """
    check_free(target, force)
    folder = target.parent
    made = [x for x in (folder.parent, folder) if not x.exists()]
    try:
        with _room(folder, size) as room:
            draft = room / "bundle"
            yield draft
            _sync(draft)
            _publish(draft, target, force)
            for parent in (folder, folder.parent):
                _sync_one(parent)
    finally:
        for empty in reversed(made):
            with suppress(OSError):  # a directory that holds the bundle is not empty
                empty.rmdir()


@contextmanager
def _room(folder: Path, size: int) -> Iterator[Path]:
    """Yield a directory in ``folder`` with an empty ``bundle`` in it, and remove it at the end."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        room = Path(tempfile.mkdtemp(prefix=DRAFTS, dir=folder))
        lock = os.open(room, os.O_RDONLY)
    except OSError as error:
        reason = "it is no folder" if isinstance(error, FileExistsError) else error.strerror
        raise RepositoryUnwritable(folder, str(reason)) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the lock tells a sweeping export that this one is alive
        _make_bundle(room, size)
        yield room
    finally:
        shutil.rmtree(room, ignore_errors=True)
        os.close(lock)


def _make_bundle(room: Path, size: int) -> None:
    free = shutil.disk_usage(room).free
    if free < size:
        raise RepositoryUnwritable(
            room.parent, f"the bundle takes about {size / 1e6:.0f} MB, {free / 1e6:.0f} are free"
        )
    (room / "bundle").mkdir()


def check_free(target: Path, force: bool) -> None:
    """Check that ``target`` may be written.

    Raises:
        RepositoryUnwritable: ``target`` is no directory.
        VersionExists: ``target`` exists and ``force`` is not given.
    """
    if target.exists() and not target.is_dir():
        raise RepositoryUnwritable(target, "it is no folder")
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
