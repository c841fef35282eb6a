"""The numbers of every epoch of a run, in a CSV file."""

import csv
from pathlib import Path
from typing import Any


class History:
    """The numbers of every epoch, in a CSV file; those after the ``done`` ones are dropped."""

    def __init__(self, path: Path, done: int) -> None:
        self.path = path
        rows = csv.DictReader(path.read_text().splitlines()) if path.exists() else []
        self.rows: list[dict[str, Any]] = [row for row in rows if int(row["epoch"]) <= done]

    def append(self, row: dict[str, Any]) -> None:
        """Add one epoch's ``row`` and write the file, all of it or nothing."""
        self.rows.append(row)
        draft = self.path.with_suffix(".tmp")
        with draft.open("w", newline="") as file:
            writer = csv.DictWriter(file, row)
            writer.writeheader()
            writer.writerows(self.rows)
        draft.replace(self.path)

    def last(self, name: str, epochs: int) -> list[float]:
        """Return the newest values of one column, at most ``epochs`` of them."""
        return [float(row[name]) for row in self.rows[-epochs:]]
