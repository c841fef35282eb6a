"""Load a model and write it as the SavedModel that every later stage reads.

``python -m export.sources.read FOLDER`` takes what ``intake`` asks in FOLDER, writes
``saved_model/`` there, and says what it found, or why the model is refused. Run apart from the
export: the model's code runs here.
"""

import importlib
import importlib.util
import json
import re
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from export.config import SourceOptions
from export.errors import SourceRefused
from export.sources.formats import SAVE_IT, ModelFile
from export.sources.intake import ASKED, FOUND
from export.sources.saved_model import write_saved_model
from export.sources.signature import Signature, signature_of
from export.sources.stored_code import needs_custom

MISSING = re.compile(
    r"(?:Could not locate \w+|Unknown [\w ]+|Could not interpret [\w ]+ identifier):? '?([\w>]+)"
)
"""How Keras 2 and 3 name a class or function that they do not have."""
TOLD = 300
"""The characters that are shown of an error of Keras."""


def main(argv: list[str]) -> int:
    """Read the model that is asked for in the folder ``argv[0]``."""
    folder = Path(argv[0])
    asked = json.loads((folder / ASKED).read_text())
    try:
        found = read(asked, folder)
    except SourceRefused as refusal:
        found = {"refused": str(refusal)}
    (folder / FOUND).write_text(json.dumps(found))
    return 0


def read(asked: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Write the SavedModel and return its facts: signature, sizes and range.

    Raises:
        SourceRefused: the model cannot be loaded, or is no generator that can be served.
    """
    import tensorflow as tf

    model = asked["model"]
    if asked["reader"] != "tensorflow":
        model = str(folder / "as_loaded")
        _keras_to_saved_model(asked, model)
    try:
        loaded = tf.saved_model.load(model)
    except Exception as error:  # whatever TensorFlow raises, the file is at fault
        raise SourceRefused(
            f"{asked['path']} cannot be loaded by TensorFlow {tf.__version__} ({_told(error)}); "
            f"{SAVE_IT}"
        ) from error
    options = SourceOptions(**{x.name: asked[x.name] for x in fields(SourceOptions)})
    signature: Signature = signature_of(loaded, asked["path"], options)
    return write_saved_model(signature, asked, folder / "saved_model")


def _keras_to_saved_model(asked: dict[str, Any], path: str) -> None:
    keras = importlib.import_module(asked["reader"])
    custom = _custom_objects(asked["custom"], Path(asked["imports"]))
    try:
        model = keras.models.load_model(
            asked["model"], custom, compile=False, safe_mode=not asked["unsafe"]
        )
    except Exception as error:  # whatever Keras or a custom class raises
        raise SourceRefused(_why_not_loaded(error, asked, keras)) from error
    try:
        _call_once(model)
        model.export(path)
    except Exception as error:
        raise SourceRefused(
            f"{asked['path']} was loaded by {asked['reader']} {keras.__version__} and cannot run "
            f"({_told(error)}); call the generator once on latents before saving it, and see "
            "that it runs there"
        ) from error


def _call_once(model: Any) -> None:
    """Call a subclassed model, which takes its inputs from its first call, on zeros."""
    import numpy as np

    if getattr(model, "inputs", None):
        return
    shape = (model.get_build_config() or {}).get("input_shape")
    if isinstance(shape, dict) or not shape:
        return
    several = isinstance(shape[0], (list, tuple))
    zeros = [np.zeros((1, *x[1:]), np.float32) for x in (shape if several else [shape])]
    model(zeros if several else zeros[0])


def _custom_objects(places: list[str], folder: Path) -> dict[str, Any]:
    """Return the classes and functions of ``places`` by each name that a file may use.

    Modules are looked for in ``folder`` too, and paths begin there.

    Raises:
        SourceRefused: a module cannot be imported, or lacks the name.
    """
    objects: dict[str, Any] = {}
    sys.path.append(str(folder))
    for place in places:
        where, _, name = place.rpartition(":")
        try:
            found = getattr(_module(where, folder), name)
        except Exception as error:  # whatever the module's own code raises
            raise SourceRefused(
                f"--custom {place} cannot be imported ({_told(error)}); give module:Name with the "
                "module's folder in PYTHONPATH, or path/to/file.py:Name"
            ) from error
        objects |= {name: found, f"Custom>{name}": found}
    return objects


def _module(where: str, folder: Path) -> Any:
    if not where.endswith(".py"):
        return importlib.import_module(where)
    path = folder / where
    sys.path.append(str(path.parent))  # for the modules beside it
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"no module in {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _why_not_loaded(error: Exception, asked: dict[str, Any], keras: Any) -> str:
    missing = MISSING.search(str(error))
    if missing:
        file = ModelFile(Path(asked["path"]), "")
        return needs_custom(file, missing[1].rpartition(">")[2])
    return (
        f"{asked['path']} cannot be loaded by {asked['reader']} {keras.__version__} "
        f"({_told(error)}); load it where it was made, and {SAVE_IT}"
    )


def _told(error: Exception) -> str:
    """Return the beginning of what ``error`` says, in one line."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= TOLD else f"{text[:TOLD]}..."


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
