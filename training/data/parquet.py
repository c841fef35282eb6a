"""Images in Parquet files, as the data sets of Hugging Face come: a row has one image's file.

The column of images is a structure with the fields ``bytes`` and ``path``, or is binary itself.
The files are read with pyarrow, which is an optional dependency.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from training.data.layout import DataError, Photo, Photos
from training.data.tree import is_hidden, walk

COLUMNS = ("image", "img")
"""The usual names of the column of images; another column must be the only one that may be it."""
SPLITS = {
    "train": ("train", "training"),
    "test": ("test", "testing", "eval", "evaluation"),
    "validation": ("validation", "valid", "val", "dev"),
}
"""The words in the name of a file or its folders that tell its split."""
LARGE = 256_000_000
"""The bytes of a row group above which a note says what memory it takes."""
BATCH = 16
"""The number of rows that are read at once: as many as a process prepares at once."""


def files_below(path: Path) -> list[Path]:
    """Return the Parquet files below ``path``, sorted by name."""
    found = (file for file in walk(path) if file.suffix.lower() == ".parquet")
    files = (file for file in found if file.is_file() and not is_hidden(file.name))
    return sorted(files, key=lambda file: file.relative_to(path).parts)


def split_of(name: str) -> str | None:
    """Return the split of a file by its relative ``name``: train, test, validation, or None."""
    for part in reversed(name.lower().split("/")):
        words = re.split(r"[^a-z]+", part)
        for split, meaning in SPLITS.items():
            if any(word in meaning for word in words):
                return split
    return None


def photos(path: Path, files: Sequence[Path], title: str, notes: Sequence[str] = ()) -> Photos:
    """Return the images in the ``files`` below ``path``, without boxes, in the rows' order.

    Raises:
        DataError: pyarrow is not installed, or a file is no Parquet file with a column of images.
    """
    tables = [Rows(file) for file in files]
    found = [
        Photo(file, row=row)
        for file, rows in zip(files, tables, strict=True)
        for row in range(rows.count)
    ]
    largest = max(rows.largest_group for rows in tables)
    large = (
        f"a row group has {largest / 1e6:,.0f} MB, and each process holds about twice as much; if "
        "memory is short, write the files with row_group_size=100"
    )
    named = ", ".join(dict.fromkeys(_shown(file.relative_to(path)) for file in files))
    layout = f"{title}, Parquet files of Hugging Face: {len(found):,} images without boxes, {named}"
    return Photos(found, layout, [*notes, large if largest > LARGE else ""])


def image(file: Path, row: int) -> bytes:
    """Return the content of the image file in a ``row`` of a Parquet file.

    Raises:
        DataError: the row holds no image.
    """
    value = _opened(file, file.stat().st_mtime_ns).value(row)
    content = value.get("bytes") if isinstance(value, dict) else value
    if not content:
        raise DataError("the row holds no image")
    return bytes(content)


def labelled(file: Path, label: int) -> Iterator[bytes]:
    """Yield the contents of the image files whose column ``label`` has the value ``label``.

    Raises:
        DataError: the file has no column ``label``.
    """
    rows = Rows(file)
    if "label" not in rows.columns:
        raise DataError(f"{file}: wanted a column 'label', found {', '.join(rows.columns)}")
    for row, value in enumerate(rows.column("label")):
        if value == label:
            yield image(file, row)


class Rows:
    """The rows of one Parquet file, read a few at a time, and fastest in their order."""

    def __init__(self, file: Path) -> None:
        parquet = _pyarrow(file)
        with file.open("rb") as content:
            magic = content.read(4)
        if magic != b"PAR1":
            raise DataError(
                f"{file} is no Parquet file; if it is a pointer of Git LFS, `git lfs pull` "
                "fetches the file"
            )
        try:
            self._file = parquet.ParquetFile(file, buffer_size=1 << 20)
        except Exception as error:  # pyarrow's errors on damaged files are of many kinds
            raise DataError(f"{file}: not a Parquet file that can be read ({error})") from error
        self.count: int = self._file.metadata.num_rows
        groups = (self._file.metadata.row_group(n) for n in range(self._file.num_row_groups))
        self.largest_group: int = max((group.total_byte_size for group in groups), default=0)
        """The bytes of the largest row group, all columns together, uncompressed."""
        self.columns: list[str] = self._file.schema_arrow.names
        self._image = _image_column(self._file.schema_arrow, file)
        self._group = range(0)
        """The rows of the row group that is being read."""
        self._batches: Iterator[Any] = iter(())
        self._batch: Any = ()
        self._start = 0
        """The row in the file of the batch's first."""

    def value(self, row: int) -> Any:
        """Return the value in the column of images."""
        if row not in self._group or row < self._start:
            self._begin(row)
        while row >= self._start + len(self._batch):
            self._start += len(self._batch)
            self._batch = next(self._batches).column(0)
        return self._batch[row - self._start].as_py()

    def column(self, name: str) -> list[Any]:
        """Return all values of one column."""
        values: list[Any] = self._file.read(columns=[name]).column(0).to_pylist()
        return values

    def _begin(self, row: int) -> None:
        """Begin to read the row group that holds the ``row``, and forget the one before."""
        start, number = 0, 0
        while row >= start + (rows := self._file.metadata.row_group(number).num_rows):
            start, number = start + rows, number + 1
        self._group, self._batch, self._start = range(start, start + rows), (), start
        # An iterator over several row groups would keep all of them in memory.
        self._batches = self._file.iter_batches(
            BATCH, row_groups=[number], columns=[self._image], use_threads=False
        )


@lru_cache(maxsize=1)
def _opened(file: Path, _mtime_ns: int) -> Rows:
    """Return the rows of a ``file``, which is opened anew when it was written anew."""
    return Rows(file)


def _pyarrow(file: Path) -> Any:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise DataError(
            f"{file}: Parquet files are read with pyarrow, which is not installed here; "
            "`pip install pyarrow` installs it"
        ) from error
    return parquet


def _image_column(schema: Any, file: Path) -> str:
    """Return the name of the column of images."""
    able = [field.name for field in schema if _may_hold_images(field.type)]
    usual = [name for name in able if name.lower() in COLUMNS]
    if len(able) != 1 and not usual:
        raise DataError(
            f"{file}: wanted one column of images, binary or a structure with 'bytes', or one "
            f"called {' or '.join(COLUMNS)}; found {', '.join(schema.names)}"
        )
    return str((usual or able)[0])


def _may_hold_images(kind: Any) -> bool:
    from pyarrow import types

    if types.is_struct(kind):
        return any(_may_hold_images(field.type) for field in kind if field.name == "bytes")
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _shown(name: Path) -> str:
    """Return a file's name with ``*`` in the place of its shard's number."""
    return re.sub(r"\d{4,}(-of-\d+)?[^/]*\.parquet$", "*.parquet", name.as_posix())
