"""Counters and histograms of all processes, added up.

prometheus_client's own collector takes every series of every file apart at each scrape. Here a
series is taken apart when it is seen first, and from then on is a place in an array: thousands of
series cost no more than hundreds did.
"""

import json
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

HEADER = 8
"""The bytes of a file before its first series; the first four hold how many are used."""
VALUE_BYTES = 16
"""The bytes of a value and its time, behind the key of each series."""
KINDS = ("counter", "histogram")
"""The kinds of metrics that are added up here, as their files' names begin."""

Labels = tuple[tuple[str, str], ...]


@dataclass
class Child:
    """One counter, or one histogram, with one choice of labels."""

    labels: Labels
    plain: dict[str, int] = field(default_factory=dict)
    """The places of its counts and sums, by the series' names."""
    buckets: dict[float, int] = field(default_factory=dict)
    """The places of its buckets by their bounds; none has what is in the ones below it."""


@dataclass
class Family:
    """One metric with all its children."""

    name: str
    kind: str
    help_text: str
    children: dict[Labels, Child] = field(default_factory=dict)


class Series:
    """Every series that was seen or is known, each with a place in the array of the values."""

    def __init__(self) -> None:
        self.families: dict[str, Family] = {}
        self._places: dict[str, int] = {}
        self._by_labels: dict[tuple[str, Labels], int] = {}

    def __len__(self) -> int:
        return len(self._by_labels)

    def place(self, kind: str, key: str) -> int:
        """Return the place of the series that prometheus_client calls ``key``."""
        found = self._places.get(key)
        if found is None:
            found = self._places[key] = self._add(kind, *json.loads(key))
        return found

    def _add(
        self, kind: str, family_name: str, name: str, labels: dict[str, str], help_text: str
    ) -> int:
        same = name, tuple(sorted(labels.items()))
        if same in self._by_labels:  # another release, with other words
            return self._by_labels[same]
        place = self._by_labels[same] = len(self._by_labels)
        family = self.families.setdefault(family_name, Family(family_name, kind, help_text))
        bound = labels.pop("le", None)
        own = tuple(sorted(labels.items()))
        child = family.children.setdefault(own, Child(own))
        if bound is None:
            child.plain[name] = place
        else:
            child.buckets[float(bound)] = place
        return place


@dataclass
class _File:
    """What is known of one file of values: which series lies where."""

    keys: bytes = bytes(HEADER)
    """What was read of the file, with 0 in place of the values."""
    sources: list[int] = field(default_factory=list)
    """The places of the values in the file, in doubles."""
    places: list[int] = field(default_factory=list)
    """The places of their series."""

    def keys_of(self, data: bytes) -> bytes:
        """Return ``data``, the content of a file, with 0 where this file has values."""
        words = np.frombuffer(data, np.uint64).copy()
        values = np.array(self.sources, np.intp)
        words[0] = words[values] = words[values + 1] = 0
        return words.tobytes()

    def is_begin_of(self, data: bytes) -> bool:
        """Tell whether a file with the content ``data`` is this one, which may have grown."""
        return len(self.keys) <= len(data) and self.keys_of(data[: len(self.keys)]) == self.keys


class Files:
    """The files of the processes in ``folder``, each of which is taken apart once."""

    def __init__(self, folder: Path, series: Series) -> None:
        self._folder = folder
        self._series = series
        self._files: dict[Path, _File] = {}

    def sums(self) -> NDArray[np.float64]:
        """Return the value of each series, over all processes: float64 [series]."""
        found = list(self._read())
        sums = np.zeros(len(self._series))
        for places, values in found:
            sums[places] += values
        return sums

    def begun_at(self) -> float:
        """Return when the first process began to count, in seconds since 1970; 0 if none has."""
        times = []
        for file in self._folder.glob("*.lock"):
            with suppress(FileNotFoundError):
                times.append(file.stat().st_mtime)
        return min(times, default=0.0)

    def _read(self) -> Iterator[tuple[list[int], NDArray[np.float64]]]:
        """Yield the places and values of each file's series."""
        known, self._files = self._files, {}
        for path in sorted(self._folder.glob("*.db")):
            kind = path.name.partition("_")[0]
            if kind not in KINDS:
                continue
            with suppress(FileNotFoundError), path.open("rb") as opened:
                file = known.get(path, _File())
                data = _used_part(opened.read(len(file.keys)), opened.fileno())
                if not file.is_begin_of(data):  # it is another file of that name
                    file = _File()
                self._take_apart(file, kind, data)
                self._files[path] = file
                yield file.places, np.frombuffer(data, np.float64)[file.sources]

    def _take_apart(self, file: _File, kind: str, data: bytes) -> None:
        """Note the series that were added to a file since it was looked at."""
        at = len(file.keys)
        if at == len(data):
            return
        while at < len(data):
            (size,) = struct.unpack_from("i", data, at)
            key = data[at + 4 : at + 4 + size].decode()
            at += 4 + size + 8 - (size + 4) % 8
            file.sources.append(at // 8)
            file.places.append(self._series.place(kind, key.rstrip(" ")))
            at += VALUE_BYTES
        file.keys = file.keys_of(data)


def _used_part(begin: bytes, descriptor: int) -> bytes:
    """Return the part of a file that is used, of which ``begin`` was read."""
    if len(begin) < HEADER:
        return bytes(HEADER)  # the file was made just now
    (used,) = struct.unpack_from("i", begin)
    used = max(used, HEADER)
    if used > len(begin):
        begin += os.pread(descriptor, used - len(begin), len(begin))
    return begin[:used]
