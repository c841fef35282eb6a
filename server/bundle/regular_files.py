"""The one way in which files of a bundle are opened: regular files only, to a size that is known.

Who opens a pipe waits for a writer, who opens a device may change it, and neither has an end.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from server.bundle.errors import BundleError, BundleUnreadable

OF_CONTENT = {
    errno.EACCES,
    errno.EINVAL,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EPERM,
}
"""The errors that tell of what lies there; any other may be gone the next time."""
CHUNK_BYTES = 2**20


def unreadable(path: Path, error: OSError | ValueError) -> BundleError:
    """Return the error of a ``path`` that cannot be read because of ``error``.

    A name that no file can have is a ``ValueError``.
    """
    of_content = isinstance(error, ValueError) or error.errno in OF_CONTENT
    kind = BundleError if of_content else BundleUnreadable
    return kind(f"{path} cannot be read: {error}")


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open the regular file at ``path``, which a symbolic link may lead to.

    Raises:
        BundleError: there is none, or it cannot be read.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise BundleError(f"{path} is no regular file")
        # What took its place meanwhile must not have this wait either.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise BundleError(f"{path} is no regular file")
            yield file
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error


def size(path: Path) -> int:
    """Return the size in bytes of the regular file at ``path``.

    Raises:
        BundleError: there is none.
    """
    try:
        facts = path.stat()
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    if not stat.S_ISREG(facts.st_mode):
        raise BundleError(f"{path} is no regular file")
    return facts.st_size


def read_whole(path: Path, most: int) -> bytes:
    """Return the contents of the regular file at ``path``, which has at most ``most`` bytes.

    Raises:
        BundleError: there is none, it cannot be read, or it has more.
    """
    with opened(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise BundleError(f"{path} has more than {most} bytes, as many as are read")
    return content


def digest(path: Path, most: int) -> tuple[int, str]:
    """Return the number of bytes and the SHA-256 of what is in the regular file at ``path``.

    No more than ``most`` bytes and one are read.

    Raises:
        BundleError: there is no such file, or it cannot be read.
    """
    sha256, count = hashlib.sha256(), 0
    with opened(path) as file:
        while count <= most and (chunk := file.read(min(CHUNK_BYTES, most + 1 - count))):
            sha256.update(chunk)
            count += len(chunk)
    return count, sha256.hexdigest()
