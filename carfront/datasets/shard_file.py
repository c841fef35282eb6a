"""A shard while it is written: a draft whose SHA-256 grows with it."""

import hashlib
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class ShardFile:
    """The draft of a shard at ``path``: what is written is counted and digested at once.

    It goes without a buffer of its own: blocks of images are large.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        """The bytes written so far."""
        self._sha256 = hashlib.sha256()
        self._file = path.open("wb", buffering=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._file.close()

    @property
    def sha256(self) -> str:
        """The SHA-256 of what was written so far, in hexadecimal."""
        return self._sha256.hexdigest()

    def write(self, data: Any) -> int:
        """Write all of ``data``, anything with the buffer protocol."""
        view = memoryview(data).cast("B")
        self._sha256.update(view)
        written = 0
        while written < len(view):  # a disk may take less at a time
            written += self._file.write(view[written:])
        self.size += written
        return written

    def to_disk(self) -> None:
        """Return when the disk has all of it: a rename after that is a whole file for ever."""
        os.fsync(self._file.fileno())


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of the file at ``path``, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
