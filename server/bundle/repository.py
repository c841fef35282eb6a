"""The model repository, ``<name>/<version>/``: which bundles it holds, and how one is found."""

import os
from collections.abc import Iterable
from pathlib import Path

from server.bundle import volume
from server.bundle.errors import BundleError, BundleUnreadable
from server.bundle.files import Bundle, load_bundle
from server.bundle.manifest import LATEST, NAME, VERSION
from server.bundle.regular_files import unreadable

Seen = tuple[tuple[str, int, int], ...]
"""The state of a bundle's directory: name, size in bytes and mtime in ns of each file, sorted."""


def scan(models: Path) -> dict[str, Seen]:
    """Return the state of every bundle's directory in ``models``, by ``name/version``.

    Directories of incomplete bundles are in it as well.

    Raises:
        BundleUnreadable: the volume does not answer, or reports an error.
    """
    return volume.read(models, lambda: _scan(models))


def _scan(models: Path) -> dict[str, Seen]:
    folders = [x for x in _entries(models) if NAME.fullmatch(x.name)]
    bundles = [y for x in folders for y in _entries(Path(x.path)) if VERSION.fullmatch(y.name)]
    return {"/".join(Path(x.path).parts[-2:]): _look(Path(x.path)) for x in bundles}


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return what is in ``folder``; nothing where it is no directory, or is not there."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        if isinstance(told := unreadable(folder, error), BundleUnreadable):
            raise told from error
        return []


def _look(folder: Path) -> Seen:
    """Return the state of ``folder``; a file that cannot be looked at has a size of -1."""
    seen = []
    for file in _entries(folder):
        try:
            facts = file.stat()
            seen.append((file.name, facts.st_size, facts.st_mtime_ns))
        except OSError:
            seen.append((file.name, -1, 0))
    return tuple(sorted(seen))


def versions(refs: Iterable[str], name: str) -> list[str]:
    """Return the versions of model ``name`` among ``refs``, newest first."""
    mine = [ref.partition("/")[2] for ref in refs if ref.partition("/")[0] == name]
    return sorted(mine, key=int, reverse=True)


def load(models: Path, ref: str) -> Bundle:
    """Return the bundle ``name/version`` of the repository, every file of it checked.

    Raises:
        BundleError: the bundle cannot be served, or its manifest names another bundle.
    """
    bundle = load_bundle(models / ref)
    own = f"{bundle.manifest.name}/{bundle.manifest.version}"
    if own != ref:
        raise BundleError(f"{models / ref} says in its manifest that it is {own}")
    return bundle


def find(models: Path, name: str, version: str = LATEST) -> Bundle:
    """Return a version of model ``name``; ``latest`` is the highest version that can be served.

    Raises:
        BundleError: there is no such bundle, or none that can be served. The message gives the
            faults of those that were tried, or lists the bundles of the repository.
    """
    there = scan(models)
    wanted = versions(there, name) if version == LATEST else [version]
    reasons = []
    for ref in (f"{name}/{x}" for x in wanted):
        if ref not in there:
            continue
        try:
            return load(models, ref)
        except BundleError as error:
            reasons.append(str(error))
    if reasons:
        raise BundleError("; ".join(reasons))
    has = ", ".join(sorted(there)) or "none at all"
    raise BundleError(f"{models} has no bundle {name}/{version}; it has {has}")
