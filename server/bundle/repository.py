"""The model repository, ``<name>/<version>/``: what lies there, and which of it is wanted."""

import os
from collections.abc import Iterable
from pathlib import Path

from server.bundle.manifest import LATEST, NAME, VERSION, Bundle, BundleError, load_bundle

Seen = tuple[tuple[str, int, int], ...]
"""What a bundle's directory looked like: names, sizes and times of its files."""


def scan(models: Path) -> dict[str, Seen]:
    """Return every version of every model in ``models`` by ``name/version``, whole or not."""
    found = {}
    for folder in models.glob("*/*"):
        name, version = folder.parts[-2:]
        if NAME.fullmatch(name) and VERSION.fullmatch(version):
            found[f"{name}/{version}"] = _look(folder)
    return found


def _look(folder: Path) -> Seen:
    """Return what ``folder`` holds; what vanishes meanwhile is not there."""
    seen = []
    try:
        for file in os.scandir(folder):
            facts = file.stat()
            seen.append((file.name, facts.st_size, facts.st_mtime_ns))
    except OSError:
        return ()
    return tuple(sorted(seen))


def versions(refs: Iterable[str], name: str) -> list[str]:
    """Return the versions of model ``name`` among ``refs``, newest first."""
    mine = [ref.partition("/")[2] for ref in refs if ref.partition("/")[0] == name]
    return sorted(mine, key=int, reverse=True)


def load(models: Path, ref: str) -> Bundle:
    """Return the bundle ``name/version`` of the repository, every file of it checked.

    Raises:
        BundleError: what is wrong with it.
    """
    bundle = load_bundle(models / ref)
    own = f"{bundle.manifest.name}/{bundle.manifest.version}"
    if own != ref:
        raise BundleError(f"{models / ref} says in its manifest that it is {own}")
    return bundle


def find(models: Path, name: str, version: str = LATEST) -> Bundle:
    """Return a version of model ``name``; ``latest`` is the highest number that is whole.

    Raises:
        BundleError: there is none. The message has what is wrong with those there are, or lists
            the others.
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
