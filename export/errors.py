"""The errors that stop an export; each message is one sentence that says what to do.

ExportError
|-- SourceRefused      a generator from elsewhere cannot be read, or cannot be served as it is
|-- RunIncomplete      the run directory lacks something, or holds another kind of model
|-- VersionExists      the version exists already
|-- RepositoryUnwritable  the model repository cannot be written, or is full
|-- ReferenceFailed    TensorFlow cannot draw with the SavedModel
|-- ConversionFailed   the SavedModel did not become an ONNX graph that can serve
`-- ParityFailed       the ONNX model draws other images than the SavedModel

VariantRefused          a graph in another precision is not worth shipping; the export goes on
"""

from collections.abc import Sequence
from pathlib import Path

PLAIN = (
    "build the generator of Dense, Conv2D, Conv2DTranspose, UpSampling2D, normalisation, "
    "activation, Reshape, Add and Concatenate layers"
)
"""The advice where a generator has something that cannot be converted."""


class ExportError(Exception):
    """No bundle was written."""


class SourceRefused(ExportError):
    """A generator from elsewhere cannot be read, or cannot be served as it is."""


class RunIncomplete(ExportError):
    """The run directory lacks something that an export needs."""


class VersionExists(ExportError):
    """The version exists already, and a published version is never changed by accident."""


class RepositoryUnwritable(ExportError):
    """The model repository cannot be written, or has no room for the bundle."""

    def __init__(self, folder: Path, reason: str) -> None:
        super().__init__(
            f"{folder} cannot be written: {reason}; mend that, or give another --models"
        )


class ReferenceFailed(ExportError):
    """TensorFlow cannot draw the images with which to compare."""


class ConversionFailed(ExportError):
    """The SavedModel did not become the ONNX graph that the server wants."""


class ParityFailed(ExportError):
    """The sessions that would serve do not draw the SavedModel's images."""

    def __init__(self, misses: Sequence[str]) -> None:
        super().__init__(
            f"parity failed in {len(misses)} place(s), so no bundle was written; "
            "find out which before raising a limit:\n" + "\n".join(f"  - {miss}" for miss in misses)
        )


def first_line(error: Exception) -> str:
    """Return what ``error`` says in one line: its kind, and the first line of its message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return ": ".join([type(error).__name__, *lines[:1]])


class VariantRefused(Exception):
    """A precision cannot draw these images; the bundle is made without that variant."""
