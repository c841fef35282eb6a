"""The weights that an ONNX graph keeps in other files (external data), found without ONNX.

Only the names of fields are followed through the file; the weights in it are skipped. ONNX Runtime
would open any file that the graph names.

Source: onnx.proto3; Protocol Buffers' encoding.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from server.bundle.errors import BundleError
from server.bundle.regular_files import opened

MESSAGES = {
    "Model": {7: "Graph", 20: "TrainingInfo", 25: "Function"},
    "TrainingInfo": {1: "Graph", 2: "Graph"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Function": {7: "Node", 11: "Attribute"},
    "Node": {5: "Attribute"},
    "Attribute": {
        5: "Tensor",
        6: "Graph",
        10: "Tensor",
        11: "Graph",
        22: "SparseTensor",
        23: "SparseTensor",
    },
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
    "Tensor": {13: "StringStringEntry"},
}
"""The fields in which a tensor may lie, by their numbers, and the messages that they hold."""
ENTRY, KEY, VALUE = "StringStringEntry", 1, 2
LOCATION = b"location"
MOST_FIELDS = 2_000_000
"""The fields of a graph that are looked at, at most; a graph of 10,000 nodes has 300,000."""
MOST_NAME = 4096
"""The bytes of a file's name that are read; the manifest has none of that length."""
MOST_NESTED = 100
"""The levels of messages within each other, as many as Protocol Buffers' own readers take."""
VARINT, EIGHT_BYTES, LENGTH, FOUR_BYTES = 0, 1, 2, 5
"""The wire types of fields; the two others, groups, are in no ONNX file."""


def external_files(path: Path) -> set[str]:
    """Return the files, relative to its own folder, that the ONNX graph at ``path`` names.

    Raises:
        BundleError: the file cannot be read, or is no ONNX graph.
    """
    with opened(path) as file:
        end = file.seek(0, 2)
        file.seek(0)
        try:
            return set(_Reader(file).locations("Model", end, MOST_NESTED))
        except (EOFError, UnicodeDecodeError) as error:
            raise BundleError(f"{path} is no ONNX graph: {error}") from error


class _Reader:
    """Reads one file's fields, one after the other."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._fields = 0

    def locations(self, message: str, end: int, levels: int) -> Iterator[str]:
        """Yield the locations in a ``message`` from here to the position ``end``.

        Raises:
            EOFError: what is there is no such message, or is too large or too deep.
        """
        if not levels:
            raise EOFError(f"it is nested more than {MOST_NESTED} levels deep")
        entry = {KEY: b"", VALUE: b""}
        for number, field_end in self._fields_until(end):
            inner = MESSAGES.get(message, {}).get(number)
            if inner:
                yield from self.locations(inner, field_end, levels - 1)
            elif message == ENTRY and number in entry:
                entry[number] = self._file.read(min(field_end - self._file.tell(), MOST_NAME))
            self._file.seek(field_end)
        if entry[KEY] == LOCATION:
            yield entry[VALUE].decode()

    def _fields_until(self, end: int) -> Iterator[tuple[int, int]]:
        """Yield the number of each field with a length, and the position at which it ends."""
        while (here := self._file.tell()) < end:
            self._fields += 1
            if self._fields > MOST_FIELDS:
                raise EOFError(f"it has more than {MOST_FIELDS} fields")
            number, kind = divmod(self._varint(), 8)
            if kind == LENGTH:
                length = self._varint()
                field_end = self._file.tell() + length
            elif kind == VARINT:
                self._varint()
                field_end = self._file.tell()
            elif kind in (EIGHT_BYTES, FOUR_BYTES):
                field_end = self._file.tell() + (8 if kind == EIGHT_BYTES else 4)
            else:
                raise EOFError(f"byte {here} begins no field")
            if not number or field_end > end:
                raise EOFError(f"byte {here} begins no field that ends where it should")
            if kind == LENGTH:
                yield number, field_end
            else:
                self._file.seek(field_end)

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._file.read(1)
            if not byte:
                raise EOFError("it ends in the middle of a field")
            value |= (byte[0] & 0x7F) << shift
            if byte[0] < 0x80:
                return value & (2**64 - 1)
        raise EOFError("a number in it has more than ten bytes")
