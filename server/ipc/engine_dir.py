"""The directory with an engine's socket, catalog and notes, below the runtime directory."""

from dataclasses import dataclass
from pathlib import Path

from server.ipc.atomic_file import make_folder


@dataclass(frozen=True)
class EngineDir:
    """The directory of one engine; it outlives the engine, and the engine's successor uses it."""

    folder: Path

    @property
    def socket(self) -> Path:
        """The Unix socket on which the engine listens."""
        return self.folder / "engine.sock"

    @property
    def catalog(self) -> Path:
        """The file with the engine's catalog, see ``server.ipc.catalog``."""
        return self.folder / "models.json"

    @property
    def rescan(self) -> Path:
        """The file whose presence makes the engine scan the model repository."""
        return self.folder / "rescan"

    @property
    def compiled(self) -> Path:
        """The directory in which a provider keeps compiled models."""
        return self.folder / "compiled"

    def prepare(self) -> None:
        """Make the directory, and remove old measurements, which may be another host's.

        Only this user may enter the directory. The notes of loads stay: where memory ran out, a
        load may have killed the whole server.

        Raises:
            OSError: there can be no such directory.
        """
        make_folder(self.folder)
        self.folder.chmod(0o700)
        for pattern in ("max_batch_size-*", "finishes-*", "starting", "death", "compiled/layout-*"):
            for note in self.folder.glob(pattern):
                note.unlink()

    def batch_size(self, key: int) -> Path:
        """Return the file in which the engine notes the fastest batch size of bundle ``key``."""
        return self.folder / f"max_batch_size-{key:016x}"

    def loads(self, key: int) -> Path:
        """Return the file that notes, until the load has ended, that bundle ``key`` is loaded."""
        return self.folder / f"loads-{key:016x}"

    def finishes(self, key: int) -> Path:
        """Return the note that the bundle ``key``, which is served, is being given full speed."""
        return self.folder / f"finishes-{key:016x}"

    def opens(self, key: int) -> Path:
        """Return the note that the graph of float images of ``key`` is opened."""
        return self.folder / f"opens-{key:016x}"

    @property
    def starting(self) -> Path:
        """The note that the engine starts, and is not ready yet."""
        return self.folder / "starting"

    @property
    def death(self) -> Path:
        """The file with what the last engine died of, see ``server.engine.load_notes``."""
        return self.folder / "death"

    @property
    def all_notes(self) -> list[Path]:
        """The notes of what an engine does, or did when it died, for which it may need long."""
        patterns = ("loads-*", "finishes-*", "opens-*", self.starting.name)
        return [note for pattern in patterns for note in self.folder.glob(pattern)]

    @property
    def all_loads(self) -> list[Path]:
        """The notes of all loads that are under way or that an engine died of."""
        return list(self.folder.glob("loads-*"))
