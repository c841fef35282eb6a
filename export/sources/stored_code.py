"""The code that a Keras model needs or holds, found in its configuration before any of it runs."""

import builtins
from collections.abc import Iterator
from typing import Any

from export.config import SourceOptions
from export.errors import SourceRefused
from export.sources.formats import ModelFile

OWN = {"keras", "tf_keras", "tensorflow"}
"""The packages whose classes need no ``--custom``."""
NOT_LOADED = {"compile_config", "build_config"}
"""The members of a configuration that are not the network's: losses, optimizers, shapes."""


def check_stored_code(file: ModelFile, options: SourceOptions) -> None:
    """Check that ``file`` needs no code but Keras's own, and what was allowed.

    A class that says no module, as in old ``.h5`` files, is found missing when Keras loads it.

    Raises:
        SourceRefused: a custom class was not given, or a layer is stored as code.
    """
    given = {custom.rpartition(":")[2] for custom in options.custom}
    for part, inside in _parts(file.config):
        if _is_code(part) and not options.unsafe:
            raise SourceRefused(
                f"{file.path} has a Lambda layer{inside}, which is stored as Python code that "
                "would run here: put a layer of Keras in its place (Rescaling, Activation), or, if "
                "you trust who made the file, add --unsafe"
            )
        name = _foreign_name(part)
        if name and name not in given:
            raise SourceRefused(needs_custom(file, name, str(part.get("module") or "")))


def needs_custom(file: ModelFile, name: str, module: str = "") -> str:
    """Return the sentence on the custom class or function ``name`` of ``module``."""
    known = module not in ("", "__main__")
    where = f"{module}:{name}" if known else f"path/to/file.py:{name}"
    return (
        f"{file.path} needs the custom class or function {name}, which is not in the file: add "
        f"--custom {where} with the module that defines it, whose code then runs here"
    )


def _parts(config: Any, inside: str = "") -> Iterator[tuple[dict[str, Any], str]]:
    """Yield every object in ``config``, with a text that names the layer it belongs to."""
    if isinstance(config, list):
        for each in config:
            yield from _parts(each, inside)
    if not isinstance(config, dict):
        return
    inner = config.get("config")
    if "class_name" in config and isinstance(inner, dict) and isinstance(inner.get("name"), str):
        inside = f" ({inner['name']})"
    yield config, inside
    for name, value in config.items():
        if name not in NOT_LOADED:
            yield from _parts(value, inside)


def _is_code(part: dict[str, Any]) -> bool:
    """Return whether ``part`` is a marshalled function, as Keras 3 or as Keras 2 writes it."""
    return part.get("class_name") == "__lambda__" or any(
        part.get(f"{of}_type") in ("lambda", "raw") for of in ("function", "output_shape", "mask")
    )


def _foreign_name(part: dict[str, Any]) -> str:
    """Return the name of the class or function in ``part`` if it is none of Keras's own.

    A Lambda layer may call any function that it names, with arguments from the file: its function
    is foreign wherever it comes from.
    """
    module, name, inner = (part.get(x) for x in ("module", "class_name", "config"))
    if name == "Lambda" and isinstance(inner, dict):
        function = inner.get("function")
        called = function.get("config") if isinstance(function, dict) else function
        return called if isinstance(called, str) else ""
    if module is None and isinstance(part.get("registered_name"), str):  # Keras 2
        return str(name)
    if not isinstance(module, str) or not isinstance(name, str):
        return ""
    if name == "function" and isinstance(inner, str):
        name = inner
    own = module.partition(".")[0] in OWN
    # Keras calls its own functions by the module "builtins": they are none of Python's.
    return "" if own or (module == "builtins" and not hasattr(builtins, name)) else name
