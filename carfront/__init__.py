"""The client of Carfront: images of cars that do not exist, as NumPy arrays.

::

    from carfront import Client

    with Client("http://127.0.0.1:8000") as client:
        car = client.image(7)                # uint8 [32, 32, 3]
        cars = client.images(range(1000))    # uint8 [1000, 32, 32, 3]

What is named here is imported when it is asked for: the command ends well however early Ctrl-C
comes.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from carfront.answers import Drawn, Model
    from carfront.async_client import AsyncClient
    from carfront.client import Client
    from carfront.errors import (
        AccessDenied,
        BadAnswer,
        BadRequest,
        CarfrontError,
        NotFound,
        RateLimited,
        ServerError,
        TooLate,
        Unavailable,
        Unreachable,
    )

__all__ = [
    "AccessDenied",
    "AsyncClient",
    "BadAnswer",
    "BadRequest",
    "CarfrontError",
    "Client",
    "Drawn",
    "Model",
    "NotFound",
    "RateLimited",
    "ServerError",
    "TooLate",
    "Unavailable",
    "Unreachable",
]
MODULES = {
    "AsyncClient": "async_client",
    "Client": "client",
    "Drawn": "answers",
    "Model": "answers",
}
"""The modules of what is no error."""


def __getattr__(name: str) -> Any:
    """Return what ``__all__`` names."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"carfront.{MODULES.get(name, 'errors')}"), name)
