"""What the server uses of orjson, by the standard library's json: the measure of ``protocols``.

This folder in ``PYTHONPATH`` has a server read and write JSON as if there were no orjson.
"""

import json
from typing import Any

JSONDecodeError = json.JSONDecodeError
OPT_SERIALIZE_NUMPY = 0


def loads(text: bytes | bytearray | memoryview | str) -> Any:
    """Return what the JSON ``text`` says."""
    return json.loads(bytes(text) if isinstance(text, memoryview) else text)


def dumps(value: Any, option: int = 0) -> bytes:  # noqa: ARG001
    """Return ``value`` as JSON; arrays of NumPy's are lists."""
    return json.dumps(value, default=_listed, separators=(",", ":")).encode()


def _listed(value: Any) -> Any:
    return value.tolist()
