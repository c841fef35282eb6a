"""The errors that stop an export; each message is one sentence that says what to do.

ExportError
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


class ExportError(Exception):
    """No bundle was written."""


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


class VariantRefused(Exception):
    """A precision cannot draw these images; the bundle is made without that variant."""
