"""The base of the errors, and how they tell values."""

import re
import reprlib
from http import HTTPStatus
from typing import Any


class ServingError(Exception):
    """The base of all errors that end a request without its images."""

    status: int = HTTPStatus.INTERNAL_SERVER_ERROR

    def headers(self) -> dict[str, str]:
        """Return the HTTP headers that go with the error."""
        return {}

    def facts(self) -> dict[str, Any]:
        """Return the error's facts for programs: the problem's members beside RFC 9457's own."""
        return {}


ERROR = "carfront.error"
"""The key in a WSGI environment of an error that the request has met, still to be rendered."""


class Words(str):
    """A value that is described, and so is not quoted."""

    __slots__ = ()
    __repr__ = str.__str__


def shown(value: object) -> str:
    """Return ``value`` as a caller may see it again: quoted, short, and not deep.

    ``repr`` would raise on lists that are nested nearly as deeply as they can be read.
    """
    text = _short.repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def without_paths(text: str) -> str:
    """Return ``text`` with the last name alone of each absolute path: callers need no more."""
    return _absolute_path(r"\1", text)


_short = reprlib.Repr()
_short.maxstring = _short.maxother = 60
_absolute_path = re.compile(r"(?<![\w./-])/(?:[^/\s'\"]+/)*([^/\s'\"]+)").sub
