"""A data set in a folder: files are written beside their place and renamed into it."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from carfront.errors import DataSetError

DRAFT = ".draft"
"""How the names of drafts end; they begin with a dot."""


class FolderStore:
    """The data set in ``folder``, which one run at a time may write."""

    parallel = 1

    def __init__(self, folder: Path) -> None:
        self.place = str(folder)
        self._folder = folder
        self._lock: int | None = None

    def open(self) -> None:
        """Make the folder, lock it, and remove what a killed run has left.

        Raises:
            DataSetError: it cannot be written, or another run writes there.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self._folder, os.O_RDONLY)
            self._remove_drafts_if_alone(self._lock)
        except OSError as error:
            raise DataSetError(f"{self.place} cannot be written: {error.strerror}") from error
        except DataSetError:
            self._unlock()
            raise

    def close(self) -> None:
        """Remove drafts, and unlock the folder."""
        if self._lock is not None:
            self._remove_drafts()
            self._unlock()

    def names(self) -> set[str]:
        """Return the names of the files that are there."""
        if not self._folder.is_dir():
            return set()
        return {x.name for x in self._folder.iterdir() if not x.name.startswith(".")}

    def read(self, name: str) -> bytes | None:
        """Return the content of a small file, None if it is not there."""
        try:
            return (self._folder / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, name: str, data: bytes) -> None:
        """Put a small file there, in place of the one before."""
        draft = self.draft(name)
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        self.publish(draft, name)

    def draft(self, name: str) -> Path:
        """Return the path of the draft of the file ``name``."""
        return self._folder / f".{name}{DRAFT}"

    def publish(self, draft: Path, name: str) -> None:
        """Rename the whole draft, which the disk has, to ``name``."""
        draft.replace(self._folder / name)
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def fetch(self, name: str) -> Path:
        """Return the path of the file ``name``.

        Raises:
            DataSetError: it is not there.
        """
        path = self._folder / name
        if not path.is_file():
            raise DataSetError(f"{path} is not there")
        return path

    def forget(self, path: Path) -> None:
        """Do nothing: what is read is the data set itself."""

    def _remove_drafts_if_alone(self, folder: int) -> None:
        """Lock the open ``folder``, and remove the drafts in it.

        Raises:
            DataSetError: another run has the lock, and its drafts grow.
        """
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataSetError(f"another run writes to {self.place}; wait for its end") from error
        except OSError:
            return  # some file systems have no locks, and their drafts may be another run's
        self._remove_drafts()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _remove_drafts(self) -> None:
        for draft in self._folder.glob(f".*{DRAFT}"):
            with suppress(FileNotFoundError):
                draft.unlink()
