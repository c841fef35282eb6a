"""The images of one request as the client of the engines returns them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from server.ipc.catalog import Entry


@dataclass(slots=True)
class Generated:
    """Images in shared memory, to be read before this context ends, and how long they took."""

    images: NDArray[Any]
    """uint8 [n, H, W, C], or float32 of float images; C is 1 for grey, 3 for RGB, 4 for RGBA."""
    queue_s: float
    infer_s: float
    model: Entry
    """The bundle that drew the images."""
    plan: str
    """The plan with which their engine drew the images, as ``provider/precision``.

    The plan of ``model`` need not be the same: an engine may have come in place of one that died.
    """
    end: Callable[[], None]
    """Gives the memory back."""

    def __enter__(self) -> "Generated":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
