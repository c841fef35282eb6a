"""Files that other processes may read while one writes them, and the folders of such files."""

import os
from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Write ``text`` to ``path``: a reader sees the whole new text or the whole old one.

    A folder that somebody removed is made anew.

    Raises:
        OSError: the file system takes no file there.
    """
    make_folder(path.parent)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(text)
        draft.replace(path)
    finally:
        with suppress(OSError):
            draft.unlink()  # a full file system leaves a part of the draft


def make_folder(folder: Path) -> None:
    """Make ``folder``, and those above it that are missing: only this user may enter them.

    Raises:
        OSError: there can be no folder.
    """
    if not folder.parent.exists():
        make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
