"""The settings of one export, read once from the command line."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from export.run import RANGES
from server.bundle.classes import MOST_CLASSES, check_names
from server.bundle.errors import BundleError
from server.bundle.manifest import NAME, VERSION

NEXT = "next"
"""The version that stands for the next free number."""

LAYOUTS = ("channels_last", "channels_first")
CUSTOM = re.compile(r".+:[A-Za-z_]\w*")
"""The form of a custom class's place: "module:Name" or "path/to/file.py:Name"."""


@dataclass(frozen=True)
class SourceOptions:
    """What is told of a generator from elsewhere; None leaves it to what its file says.

    Raises:
        ValueError: an option has a value that no generator may have.
    """

    image_range: tuple[float, float] | None = None
    """The range in which the generator draws, one of ``export.run.RANGES``."""
    latents: str | None = None
    """The distribution that it was trained on, "normal" (the default) or "uniform" in [-1, 1]."""
    layout: str | None = None
    """The place of an image's channels, "channels_last" or "channels_first"."""
    custom: tuple[str, ...] = ()
    """Its custom classes and functions, each as "module:Name" or "path/to/file.py:Name"."""
    unsafe: bool = False
    """Whether to load Lambda layers, which runs the code that the file holds."""
    classes: int = 0
    """The number of classes; 0 leaves it to ``class_names`` and to what the file tells."""
    class_names: tuple[str, ...] = ()
    """The names of the classes, by default their numbers."""
    class_in: str = ""
    """The input that takes the class, or its place in the only one: "start" or "end" (default)."""

    def __post_init__(self) -> None:
        if self.image_range and list(self.image_range) not in RANGES:
            wanted = " or ".join("{:g} {:g}".format(*x) for x in RANGES)
            given = "{:g} {:g}".format(*self.image_range)
            raise ValueError(f"--range is {given}; wanted {wanted}")
        for custom in self.custom:
            if not CUSTOM.fullmatch(custom):
                raise ValueError(f"--custom is {custom!r}; wanted module:Name or file.py:Name")
        if self.classes and self.class_names and self.classes != len(self.class_names):
            named = len(self.class_names)
            raise ValueError(f"--classes is {self.classes} and --class-names has {named} names")
        if self.classes and not 2 <= self.classes <= MOST_CLASSES:
            raise ValueError(f"--classes is {self.classes}; wanted 2 to {MOST_CLASSES}")
        try:
            check_names(self.class_names, "--class-names")
        except BundleError as error:
            raise ValueError(str(error)) from error

    @property
    def class_count(self) -> int:
        """Return the number of classes, 0 where no option has it."""
        return self.classes or len(self.class_names)


@dataclass(frozen=True)
class ExportConfig:
    """The generator to export, and the model and version that it becomes.

    Raises:
        ValueError: the server would not find a bundle of that name or version.
    """

    source: Path
    """A run directory, a ``.keras`` or ``.h5`` file, or the directory of a SavedModel."""
    name: str
    version: str = NEXT
    """The version, a whole number; ``NEXT`` becomes the one after the highest of that name."""
    models: Path = Path("models")
    """The model repository; the bundle becomes ``models/<name>/<version>``."""
    force: bool = False
    """Whether to replace a version that exists already."""
    options: SourceOptions = field(default_factory=SourceOptions)

    def __post_init__(self) -> None:
        _require(NAME, self.name, "name", "at most 63 of a-z, 0-9, '.', '_', '-'")
        if self.version == NEXT:
            object.__setattr__(self, "version", _next_version(self.models / self.name))
        _require(VERSION, self.version, "version", "a whole number from 1 on, such as 1 or 20")

    @property
    def target(self) -> Path:
        """Return the directory that the bundle becomes."""
        return self.models / self.name / self.version


def _next_version(folder: Path) -> str:
    """Return the number after the highest version in ``folder``."""
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return str(1 + max((int(name) for name in names if VERSION.fullmatch(name)), default=0))


def _require(pattern: re.Pattern[str], value: str, setting: str, wanted: str) -> None:
    if not pattern.fullmatch(value):
        raise ValueError(f"--{setting} is {value!r}; wanted {wanted}")
