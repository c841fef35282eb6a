"""How what the engines give for a request lies in a slot of the arena."""

import numpy as np
from numpy.typing import NDArray

from server.errors import InvalidRequest
from server.ipc.arena import SlotShape
from server.ipc.catalog import Entry
from server.ipc.sources import Source
from server.worker.model_fit import row_bytes


class ArenaLayout:
    """The layouts of slots, which have ``most_bytes`` at most.

    What an engine runs has a key: that of an entry's images, of its float images, or of its
    gradient.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._shapes: dict[int, SlotShape] = {}

    def shape(self, entry: Entry, key: int) -> SlotShape:
        """Return the layout of what ``key`` gives: images of ``entry``, or its gradient."""
        shape = self._shapes.get(key)
        if shape is None:
            assert entry.manifest is not None  # find has seen to it
            dtype = np.uint8 if key == entry.key else np.float32
            of_one = entry.manifest.image.shape
            if key == entry.gradient_key:
                of_one = [entry.manifest.latents.dim]
            shape = self._shapes[key] = SlotShape(of_one, dtype)
        return shape

    def most_rows(self, entry: Entry, key: int, *row_bytes: int) -> int:
        """Return how many rows a slot has, with ``row_bytes`` given for each by every array."""
        return self.shape(entry, key).rows_in(self._most_bytes, *row_bytes)

    def size_of(
        self, entry: Entry, key: int, source: Source, numbers: int | NDArray[np.int32]
    ) -> int:
        """Return the bytes of a slot for what ``source`` gives and gets.

        ``numbers`` is the class of all rows, or has one for each.

        Raises:
            InvalidRequest: they are too many, or the rows are none of the model's.
        """
        of_classes = 0 if isinstance(numbers, int) else numbers.itemsize
        most = self.most_rows(entry, key, row_bytes(source.given, entry, key), of_classes)
        if source.n > most:
            raise InvalidRequest("n", source.n, f"at most {most}: the arena holds no more")
        return self.shape(entry, key).size(source.n)
