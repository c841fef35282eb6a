"""Parquet shards: a row for each image, its seed and its PNG, as Hugging Face's data sets have it.

This module alone imports pyarrow, which is the extra ``parquet``.
"""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from carfront.datasets.shard_file import ShardFile
from carfront.png import layout, write_pngs

FEATURES = {"seed": {"dtype": "uint64", "_type": "Value"}, "image": {"_type": "Image"}}
"""What Hugging Face's ``datasets`` reads the columns as."""
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
SCHEMA = pa.schema(
    [("seed", pa.uint64()), ("image", IMAGE)],
    metadata={"huggingface": json.dumps({"info": {"features": FEATURES}})},
)


def table(images: NDArray[np.uint8], seeds: range) -> pa.Table:
    """Return images uint8 [n, H, W, C] and their seeds as rows."""
    n, *shape = images.shape
    files = np.empty((n, layout(*shape).size), np.uint8)
    write_pngs(images, files)
    offsets = pa.py_buffer((np.arange(n + 1) * files.shape[1]).astype(np.int32))
    pngs = pa.Array.from_buffers(pa.binary(), n, [None, offsets, pa.py_buffer(files)])
    names = pa.array([f"{seed}.png" for seed in seeds], pa.string())
    column = pa.StructArray.from_arrays([pngs, names], fields=list(IMAGE))
    numbers = pa.array(np.fromiter(seeds, np.uint64, n))
    return pa.Table.from_arrays([numbers, column], schema=SCHEMA)


class ParquetShard:
    """Writes blocks as row groups. Nothing is compressed: a photograph's bytes gain nothing."""

    def __init__(self, file: ShardFile) -> None:
        self._sink = pa.PythonFile(_Sink(file), mode="w")
        self._writer = pq.ParquetWriter(
            self._sink, SCHEMA, compression="NONE", use_dictionary=False, write_statistics=["seed"]
        )

    def add(self, encoded: pa.Table) -> None:
        self._writer.write_table(encoded)

    def close(self) -> None:
        self._writer.close()


class _Sink:
    """A shard's file as pyarrow writes to it."""

    closed = False

    def __init__(self, file: ShardFile) -> None:
        self._file = file

    def write(self, data: pa.Buffer) -> int:
        return self._file.write(data)

    def tell(self) -> int:
        return self._file.size

    def flush(self) -> None:
        """Do nothing: the file has no buffer."""

    def close(self) -> None:
        """Leave the file open: it is renamed first."""


def pngs_of(path: str) -> tuple[list[int], list[bytes]]:
    """Return the seeds and the PNGs in the Parquet file at ``path``."""
    found = pq.read_table(path, columns=["seed", "image"])
    images = found.column("image").combine_chunks()
    return found.column("seed").to_pylist(), images.field("bytes").to_pylist()
