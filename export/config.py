"""The settings of one export, read once from the command line."""

import re
from dataclasses import dataclass
from pathlib import Path

from server.bundle.manifest import NAME, VERSION


@dataclass(frozen=True)
class ExportConfig:
    """The run to export, and the model and version that it becomes.

    Raises:
        ValueError: the server would not find a bundle of that name or version.
    """

    run: Path
    """The run directory with ``saved_model/`` and ``run.json``."""
    name: str
    version: str
    models: Path = Path("models")
    """The model repository; the bundle becomes ``models/<name>/<version>``."""
    force: bool = False
    """Whether to replace a version that exists already."""

    def __post_init__(self) -> None:
        _require(NAME, self.name, "name", "at most 63 of a-z, 0-9, '.', '_', '-'")
        _require(VERSION, self.version, "version", "a whole number from 1 on, such as 1 or 20")

    @property
    def saved_model(self) -> Path:
        """Return the directory of the run's SavedModel."""
        return self.run / "saved_model"

    @property
    def target(self) -> Path:
        """Return the directory that the bundle becomes."""
        return self.models / self.name / self.version


def _require(pattern: re.Pattern[str], value: str, setting: str, wanted: str) -> None:
    if not pattern.fullmatch(value):
        raise ValueError(f"--{setting} is {value!r}; wanted {wanted}")
