"""The report of files that were skipped or unusual, with their counts and names."""

import json
from collections import defaultdict
from pathlib import Path

from training.data.layout import DataError, Photo
from training.data.prepare import Prepared

TOLERATED = 0.01
"""The share of all files that may be unreadable; above it something is wrong with the data set."""


class Report:
    """Collects the results of ``total`` photographs below ``root``, for a file at ``path``."""

    def __init__(self, path: Path, root: Path, total: int) -> None:
        self.path = path
        self.skipped: list[dict[str, str]] = []
        self._root = root
        self._total = total
        self._seen = 0
        self._kinds: dict[str, list[str]] = defaultdict(list)

    def add(self, photo: Photo, prepared: Prepared) -> None:
        """Add the result of one photograph.

        Raises:
            DataError: more than 1 % of the files cannot be read; the report so far is written.
        """
        self._seen += 1
        name = photo.name(self._root)
        for kind in prepared.kinds:
            self._kinds[kind].append(name)
        if prepared.pixels is not None:
            return
        self.skipped.append({"file": name, "reason": prepared.fault})
        if len(self.skipped) > TOLERATED * self._total:
            self.write()
            first = self.skipped[0]
            raise DataError(
                f"{self._root}: {len(self.skipped)} of the first {self._seen} files cannot be "
                f"read, more than 1 % of all {self._total}. First: {first['file']} "
                f"({first['reason']}). "
                f"All that were met are named in {self.path}"
            )

    def write(self) -> None:
        """Write the report's file."""
        kinds = {kind: {"count": len(names), "files": names} for kind, names in self._kinds.items()}
        content = {
            "root": str(self._root),
            "files": self._total,
            "seen": self._seen,
            "skipped": {"count": len(self.skipped), "files": self.skipped},
            "taken_care_of": dict(sorted(kinds.items())),
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(content, indent=1) + "\n")

    def line(self) -> str:
        """Return the report's summary in one line."""
        read = self._total - len(self.skipped)
        return f"{read:,} photographs, {len(self.skipped):,} skipped; report: {self.path}"
