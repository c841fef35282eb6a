"""Settings of a load test that are data: files of TOML, shipped ones by their names."""

import tomllib
from pathlib import Path
from typing import Any


class BadFile(Exception):
    """A file of settings is missing or wrong; the message names it and says what was wanted."""


def names(folder: Path) -> list[str]:
    """Return the names of the shipped files in ``folder``."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def read(folder: Path, name: str) -> tuple[str, dict[str, Any]]:
    """Return the name and the content of a file: ``name`` is one of ``folder``, or a path.

    Raises:
        BadFile: there is no such file, or it is no TOML.
    """
    path = Path(name) if name.endswith(".toml") else folder / f"{name}.toml"
    try:
        return path.stem, tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        shipped = ", ".join(names(folder))
        raise BadFile(f"{name}: {why}; wanted a file of TOML, or one of {shipped}") from error


def take(
    name: str, content: dict[str, Any], key: str, kinds: tuple[type, ...], default: Any
) -> Any:
    """Remove ``key`` from the content of file ``name`` and return its value, or ``default``.

    Raises:
        BadFile: the value is none of ``kinds``, or the key is missing and has no default.
    """
    value = content.pop(key, default)
    if not isinstance(value, kinds) or isinstance(value, bool) != (bool in kinds):
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise BadFile(f"{name}: {key} is {value!r}; wanted {wanted}")
    return value


def nothing_left(name: str, content: dict[str, Any]) -> None:
    """Check that every key of file ``name`` has been taken: one that is misspelt limits nothing.

    Raises:
        BadFile: a key is left.
    """
    if content:
        raise BadFile(f"{name}: nobody knows {', '.join(content)}")
