"""The parameters of requests and tensors of the Open Inference Protocol v2.

Nothing here knows of HTTP.
"""

from server.api.oip_documents import Document
from server.errors import InvalidRequest

NOT_OFFERED = ("classification", "shared_memory_")
"""How the parameters of extensions begin that change what a tensor is, and are not offered."""


def parameters_of(holder: Document, field: str) -> Document:
    """Return the parameters of ``holder``, a request or a tensor, whose refusal names ``field``.

    Raises:
        InvalidRequest: they are no JSON object.
    """
    parameters = holder.get("parameters")
    if not isinstance(parameters, dict | None):
        raise InvalidRequest(field, parameters, "a JSON object")
    return parameters or {}


def check_offered(parameters: Document) -> None:
    """Check that no parameter asks for an extension that is not offered.

    Raises:
        InvalidRequest: one does.
    """
    for name in parameters:
        if name.startswith(NOT_OFFERED):
            raise InvalidRequest(name, parameters[name], "none: the extension is not offered")


def flag(parameters: Document, name: str, default: bool) -> bool:
    """Return the parameter ``name``, ``default`` if it is not there.

    Raises:
        InvalidRequest: it is neither true nor false.
    """
    value = parameters.get(name, default)
    if type(value) is not bool:
        raise InvalidRequest(name, value, "true or false")
    return value


def count(parameters: Document, name: str) -> int:
    """Return the parameter ``name``, 0 if it is not there.

    Raises:
        InvalidRequest: it is no whole number from 0 on.
    """
    value = parameters.get(name, 0)
    if type(value) is not int or value < 0:
        raise InvalidRequest(name, value, "a whole number from 0 on")
    return value
