"""Where a data set lies: what both a folder and an object store can do."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from carfront.datasets.folder_store import FolderStore
from carfront.errors import DataSetError

S3 = "s3://"


class Store(Protocol):
    """A place for the shards of one data set. What is published is there whole, or not at all."""

    place: str
    """The place as people write it."""
    parallel: int
    """The files that are worth publishing at the same time."""

    def open(self) -> None:
        """Make the place ready for writing, and remove the drafts of a run that was killed.

        Raises:
            DataSetError: it cannot be written, or another run writes there.
        """

    def close(self) -> None:
        """Remove drafts, and let others write there."""

    def names(self) -> set[str]:
        """Return the names of the files that are there."""

    def read(self, name: str) -> bytes | None:
        """Return the content of a small file, None if it is not there."""

    def write(self, name: str, data: bytes) -> None:
        """Put a small file there, in place of the one before."""

    def draft(self, name: str) -> Path:
        """Return a local path for the draft of the file ``name``."""

    def publish(self, draft: Path, name: str) -> None:
        """Make the whole draft, which the disk has, the file ``name``."""

    def fetch(self, name: str) -> Path:
        """Return a local path with the content of the file ``name``, to be read.

        Raises:
            DataSetError: it is not there.
        """

    def forget(self, path: Path) -> None:
        """Remove what ``fetch`` has made."""


def store_at(place: str) -> Store:
    """Return the store at ``place``, a folder or ``s3://BUCKET/PREFIX``.

    Raises:
        DataSetError: the store needs a library that is not installed.
    """
    if not place.startswith(S3):
        return FolderStore(Path(place))
    try:
        from carfront.datasets.s3_store import S3Store
    except ImportError as error:
        raise DataSetError(f"{place} needs boto3 ({error}): pip install 'carfront[s3]'") from error
    return S3Store(place)


@contextmanager
def opened(store: Store) -> Iterator[Store]:
    """Have ``store`` open for writing for as long as the block lasts."""
    store.open()
    try:
        yield store
    finally:
        store.close()
