"""The formats in which others keep a Keras model, told apart by their contents."""

import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py

from export.errors import SourceRefused

HDF5 = b"\x89HDF\r\n\x1a\n"
"""The first bytes of an HDF5 file."""
GRAPH = "saved_model.pb"
"""The file by which a SavedModel is known."""
SAVE_IT = "save the whole generator, as with model.save('generator.keras')"


@dataclass(frozen=True)
class ModelFile:
    """A file or a SavedModel that holds a network with its weights."""

    path: Path
    suffix: str
    """The suffix by which Keras knows the format, ``.keras`` or ``.h5``; none of a SavedModel."""
    keras_version: str = ""
    """The version of Keras that wrote the file, where it says so."""
    config: dict[str, Any] = field(default_factory=dict)
    """The layers of the network, as Keras writes them; nothing of a SavedModel."""

    @property
    def reader(self) -> str:
        """Return the module that loads it: ``tensorflow``, ``keras`` or, for Keras 2, ``tf_keras``.

        Keras 3 reads few networks of Keras 2, and none with a Conv2DTranspose.
        """
        if not self.suffix:
            return "tensorflow"
        return "keras" if self.keras_version.startswith("3.") else "tf_keras"


def model_file(path: Path) -> ModelFile:
    """Return the model in the file or directory ``path``.

    Raises:
        SourceRefused: there is none; the message says what is there and what was wanted.
    """
    if (path / GRAPH).is_file():
        return ModelFile(path, "")
    if path.is_dir():
        raise SourceRefused(
            f"{path} has no run.json, as a run directory has, and no {GRAPH}, as a SavedModel "
            f"has; {SAVE_IT}"
        )
    try:
        found = _zipped(path) or _hdf5(path)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise SourceRefused(
            f"{path} cannot be read ({_first_line(error)}); copy it anew, or {SAVE_IT}"
        ) from error
    if found is None:
        raise SourceRefused(
            f"{path} is no model of Keras, which is a zip or HDF5 file, and no directory; {SAVE_IT}"
        )
    return found


def _zipped(path: Path) -> ModelFile | None:
    """Return the model in a ``.keras`` file of Keras 3, or of Keras 2 from 2.12 on."""
    if not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as file:
        if not {"config.json", "metadata.json"} <= {*file.namelist()}:
            raise SourceRefused(f"{path} is a zip file, but none of Keras; {SAVE_IT}")
        config, metadata = (json.loads(file.read(f"{x}.json")) for x in ("config", "metadata"))
    return ModelFile(path, ".keras", str(metadata["keras_version"]), dict(config))


def _hdf5(path: Path) -> ModelFile | None:
    """Return the model in an HDF5 file, as ``model.save("x.h5")`` writes in Keras 2 and 3."""
    with path.open("rb") as start:
        if start.read(len(HDF5)) != HDF5:
            return None
    with h5py.File(path) as file:
        facts = {name: file.attrs.get(name) for name in ("model_config", "keras_version")}
    texts = {k: x.decode() if isinstance(x, bytes) else x for k, x in facts.items()}
    if texts["model_config"] is None:
        raise SourceRefused(
            f"{path} holds weights without a network; build the network in Python, load them "
            f"(model.load_weights), and {SAVE_IT}"
        )
    version = str(texts["keras_version"] or "")
    return ModelFile(path, ".h5", version, dict(json.loads(texts["model_config"])))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
