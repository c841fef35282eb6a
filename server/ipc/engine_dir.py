"""Where one engine and the HTTP workers meet: a folder of the runtime directory."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class EngineDir:
    """The folder of one engine; it outlives the engine, and the next one of its number finds it."""

    folder: Path

    @property
    def socket(self) -> Path:
        """Where the engine listens."""
        return self.folder / "engine.sock"

    @property
    def catalog(self) -> Path:
        """Where the engine writes down what it serves, see ``server.ipc.catalog``."""
        return self.folder / "models.json"

    @property
    def rescan(self) -> Path:
        """The file whose presence has the engine look at the model repository."""
        return self.folder / "rescan"

    @property
    def compiled(self) -> Path:
        """Where a provider keeps what it compiles."""
        return self.folder / "compiled"

    def prepare(self) -> None:
        """Make the folder; what was measured in it may be of another host, and goes.

        What was noted of loads stays: where memory ran out, the whole server may have died of one.
        """
        self.folder.mkdir(exist_ok=True)
        for pattern in ("max_batch_size-*", "compiled/layout-*"):
            for note in self.folder.glob(pattern):
                note.unlink()

    def batch_size(self, key: int) -> Path:
        """Return where the engine notes how large a batch of the bundle ``key`` is fastest."""
        return self.folder / f"max_batch_size-{key:016x}"

    def loads(self, key: int) -> Path:
        """Return where the engine notes that it loads the bundle ``key``, until that has ended."""
        return self.folder / f"loads-{key:016x}"

    @property
    def all_loads(self) -> list[Path]:
        """All such notes: of loads that are going on, and of those that engines died of."""
        return list(self.folder.glob("loads-*"))
