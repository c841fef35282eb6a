"""A data set in one tar: its shards are written beside it, and joined at the end."""

import shutil
from pathlib import Path

from carfront.datasets.folder_store import FolderStore
from carfront.datasets.formats import TAR_END
from carfront.datasets.index import INDEX, Index
from carfront.datasets.seeds import Shard
from carfront.datasets.shard_file import ShardFile
from carfront.errors import DataSetError

CHUNK = 2**20


class SingleTar:
    """The tar at ``path``, its index ``{path}.json``, and its shards while it is not whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.parts = FolderStore(path.with_name(f".{path.name}.shards"))

    def join(self, index: Index) -> Index:
        """Make the tar of all its shards, remove these, and return the tar's own index.

        Raises:
            DataSetError: the disk does not take it.
        """
        draft = self.parts.draft(self.path.name)
        try:
            with ShardFile(draft) as file:
                for shard in index.wanted():
                    _append(file, self.parts.fetch(shard.name))
                file.write(TAR_END)
                file.to_disk()
            images = index.seeds.stop - index.seeds.start
            whole = Index(
                index.format, index.seeds, images, index.shape, index.lineage, {}, index.suffix
            )
            whole.add(Shard(self.path.name, index.seeds), file.size, file.sha256)
            self.reader().write(INDEX, whole.to_json())
            draft.replace(self.path)
        except OSError as error:
            told = f"{self.path}: {error.strerror or error}"
            raise DataSetError(f"{told}; its shards are in {self.parts.place}") from error
        return whole

    def remove_parts(self) -> None:
        """Remove the shards, which are in the tar."""
        shutil.rmtree(self.parts.place, ignore_errors=True)

    def reader(self) -> "TarStore":
        """Return the tar as a store to be read."""
        return TarStore(self.path)


class TarStore(FolderStore):
    """The folder of a tar, whose index has a name of its own."""

    def __init__(self, path: Path) -> None:
        super().__init__(path.parent)
        self.place = str(path)
        self._tar = path

    def names(self) -> set[str]:
        """Return the tar's name, if it is there."""
        return {self._tar.name} if self._tar.is_file() else set()

    def read(self, name: str) -> bytes | None:
        """Return the content of the index."""
        return super().read(self._own(name))

    def write(self, name: str, data: bytes) -> None:
        """Put the index there, in place of the one before."""
        super().write(self._own(name), data)

    def _own(self, name: str) -> str:
        return f"{self._tar.name}.json" if name == INDEX else name


def _append(file: ShardFile, shard: Path) -> None:
    """Append the files in ``shard``, a tar, without what ends a tar."""
    left = shard.stat().st_size - len(TAR_END)
    with shard.open("rb") as content:
        while left:
            left -= file.write(content.read(min(CHUNK, left)))
