"""What stops an export; each message is one sentence that says what to do.

ExportError
|-- RunIncomplete      the run directory lacks something, or holds another kind of model
|-- VersionExists      the version is there already
|-- ReferenceFailed    TensorFlow cannot draw with the SavedModel
|-- ConversionFailed   no ONNX came out, or not the graph that was wanted
`-- ParityFailed       the ONNX model draws other images than the SavedModel

VariantRefused          a graph in another precision is not worth shipping; the export goes on
"""

from collections.abc import Sequence


class ExportError(Exception):
    """No bundle was written."""


class RunIncomplete(ExportError):
    """The run directory has not what an export needs."""


class VersionExists(ExportError):
    """A published version is never changed by accident."""


class ReferenceFailed(ExportError):
    """There is nothing to compare with."""


class ConversionFailed(ExportError):
    """The SavedModel did not become the ONNX graph that the server wants."""


class ParityFailed(ExportError):
    """The sessions that would serve do not draw what the SavedModel draws."""

    def __init__(self, misses: Sequence[str]) -> None:
        super().__init__(
            f"parity failed in {len(misses)} place(s), so no bundle was written; "
            "find out which before raising a limit:\n" + "\n".join(f"  - {miss}" for miss in misses)
        )


class VariantRefused(Exception):
    """A precision cannot draw these images; the bundle does without."""
