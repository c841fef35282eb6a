"""The directories in which a data set is looked for, and files whose names differ a little.

Copies of a data set have been unpacked twice over, into folders in folders, on systems that do not
tell upper from lower case, and with what those systems leave behind.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from training.data.layout import found_in, wrong_layout

DEPTH = 4
"""The number of directories below one another in which a data set is looked for."""
LIMIT = 2000
"""The largest number of directories that are looked into, for a path that holds no data set."""
IMAGE_ENDINGS = frozenset(
    (".avif", ".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".mpo", ".png", ".tif", ".tiff", ".webp")
)
SYSTEM = frozenset(
    ("__macosx", "@eadir", "$recycle.bin", "desktop.ini", "ehthumbs.db", "lost+found", "thumbs.db")
)
"""The names of files and folders, in lower case, that systems leave beside the user's own."""


class Folder(NamedTuple):
    """A directory, and the names of the directories and the regular files in it, sorted."""

    path: Path
    folders: tuple[str, ...]
    files: tuple[str, ...]

    @property
    def entries(self) -> dict[str, Path]:
        """The paths of all entries by their names in lower case."""
        return {name.lower(): self.path / name for name in (*self.files, *self.folders)}


class Root(NamedTuple):
    """The directory that holds a data set, its parts by their names, and other such directories."""

    path: Path
    parts: dict[str, Path]
    others: list[Path]


def is_hidden(name: str) -> bool:
    """Return whether a file or folder of this name is hidden, or is the system's own."""
    return name.startswith(".") or name.lower() in SYSTEM


def survey(path: Path, ends: Callable[[Folder], bool] | None = None) -> Iterator[Folder]:
    """Yield ``path`` and the directories below it, the nearest first, without hidden ones.

    A directory for which ``ends`` holds is the last on its way. A path that is no directory has
    none.
    """
    waiting, count = deque([(path, 0)] if path.is_dir() else []), 0
    while waiting and count < LIMIT:
        folder, depth = waiting.popleft()
        try:
            found = _list(folder)
        except PermissionError:
            if depth:
                continue
            raise
        count += 1
        yield found
        if depth < DEPTH and not (ends and ends(found)):
            waiting.extend((folder / name, depth + 1) for name in found.folders)


def find_root(path: Path, wanted: Sequence[str], layout: str) -> Root:
    """Return the nearest directory, ``path`` or one below it, that holds all of ``wanted``.

    Upper and lower case are the same. A part that holds a directory of its own name is that one.

    Raises:
        DataError: no directory holds them; the message shows ``layout`` and what is there.
    """

    def held(folder: Folder) -> int:
        return sum(name in folder.entries for name in wanted)

    folders = list(survey(path, lambda folder: held(folder) == len(wanted)))
    roots = [folder for folder in folders if held(folder) == len(wanted)]
    if not roots:
        raise wrong_layout(path, layout, _lacking(path, max(folders, key=held).path, wanted))
    parts = {name: innermost(roots[0].entries[name]) for name in wanted}
    return Root(roots[0].path, parts, [root.path for root in roots[1:]])


def innermost(path: Path) -> Path:
    """Return the directory of the same name inside ``path``, if there is one, else ``path``."""
    while path.is_dir() and (inner := _list(path).entries.get(path.name.lower())):
        path = inner
    return path


def walk(path: Path) -> Iterator[Path]:
    """Yield all files below ``path``, and the hidden directories, which are not entered.

    Links to directories are followed, but no directory is entered twice.
    """
    seen: set[Path] = set()
    links: deque[Path] = deque([path])
    while links:
        waiting = deque([links.popleft()])
        while waiting:
            folder = waiting.popleft()
            if (real := folder.resolve()) in seen:
                continue
            seen.add(real)
            with os.scandir(folder) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    if is_hidden(entry.name) or not _is_folder(entry):
                        yield folder / entry.name
                    else:
                        (links if entry.is_symlink() else waiting).append(folder / entry.name)


class Names:
    """Files by their names, found though the case or the ending of an image's name differs."""

    def __init__(self, files: Iterable[Path]) -> None:
        self._keys: tuple[dict[str, Path], ...] = ({}, {}, {})
        for file in files:
            for known, key in zip(self._keys, self._keys_of(file.name), strict=True):
                known.setdefault(key, file)

    def get(self, name: str) -> Path | None:
        """Return the file whose name is most like ``name``, or None."""
        for known, key in zip(self._keys, self._keys_of(name), strict=True):
            if key in known:
                return known[key]
        return None

    @staticmethod
    def _keys_of(name: str) -> tuple[str, str, str]:
        lower = PurePosixPath(name.lower())
        return name, lower.name, lower.stem if lower.suffix in IMAGE_ENDINGS else lower.name


class Files:
    """The files below ``root``, found by relative names in which ``Names`` allows differences."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.missing: list[Path] = []
        """The paths that the files would have that were asked for in vain."""
        self._listed: dict[Path, Names] = {}

    def find(self, name: str) -> Path:
        """Return the path of the file that ``name`` means, or the one that it would have."""
        path = self.root
        parts = [part for part in PurePosixPath(name).parts if part not in ("/", "..")]
        for n, part in enumerate(parts):
            found = self._names(path).get(part)
            if found is None:
                self.missing.append(path.joinpath(*parts[n:]))
                return self.missing[-1]
            path = found
        return path

    def _names(self, folder: Path) -> Names:
        if folder not in self._listed:
            entries = folder.iterdir() if folder.is_dir() else ()
            self._listed[folder] = Names(sorted(entries))
        return self._listed[folder]


def read_lines(file: Path) -> list[str]:
    """Return a text file's lines without blanks around them, and without empty lines.

    A byte-order mark tells UTF-16, and is no part of the first line.

    Raises:
        OSError: there is no such file, or it is a pipe, whose reader might wait for ever.
    """
    if not file.is_file():
        raise FileNotFoundError(f"{file} is no regular file")
    content = file.read_bytes()
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = content.decode("utf-16", "replace")
    else:
        text = content.decode("utf-8-sig", "surrogateescape")  # as the system decodes file names
    return [line.strip() for line in text.splitlines() if line.strip()]


def read_names(file: Path) -> list[str]:
    """Return the file names in a list, one a line, with the slashes of Unix."""
    return [line.replace("\\", "/") for line in read_lines(file)]


def _list(path: Path) -> Folder:
    folders, files = [], []
    with os.scandir(path) as entries:
        for entry in entries:
            if is_hidden(entry.name):
                continue
            if _is_folder(entry):
                folders.append(entry.name)
            elif entry.is_file(follow_symlinks=False) or Path(entry).is_file():
                files.append(entry.name)
    return Folder(path, tuple(sorted(folders)), tuple(sorted(files)))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a directory or leads to one; a link in a circle does not."""
    return Path(entry).is_dir() if entry.is_symlink() else entry.is_dir()


def _lacking(path: Path, best: Path, wanted: Sequence[str]) -> str:
    """Return a text that says what ``best``, which holds the most of ``wanted``, does not hold."""
    held = _list(best).entries
    missing = next(name for name in wanted if name not in held)
    name = missing if Path(missing).suffix else f"{missing}/"
    where = "" if best == path else f" in {best.relative_to(path).as_posix()}/"
    return f"no {name}{where}, but {found_in(best)}"
