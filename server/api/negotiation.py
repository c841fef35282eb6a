"""The format that a caller accepts, where nothing else names one. Source: RFC 9110, 12.5.1."""

from collections.abc import Mapping, Sequence

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from server.codecs.formats import FORMATS, Format
from server.errors import InvalidRequest, UnsupportedFormat

MOST = 1000
"""The characters of ``Accept`` at most. 15,000 ranges, for which a head has room, took 0.3 s
to read, in which the HTTP worker answers nobody."""
ANYTHING = ("", "*/*")
"""What callers send that take any format, if they send the field at all: they get the first one."""


def accepted_format(
    header: str | None, offered: Sequence[str], formats: Mapping[str, Format] = FORMATS
) -> str:
    """Return the name of the format that ``header``, the field Accept, prefers of those offered.

    ``offered`` has names of ``formats``.

    Of formats that are as welcome, the one that is named most exactly is taken, then the one that
    is offered first.

    Raises:
        InvalidRequest: the field is too long.
        UnsupportedFormat: the caller accepts none of them.
    """
    if header is None or header in ANYTHING:
        return offered[0]
    if len(header) > MOST:
        raise InvalidRequest("Accept", header, f"at most {MOST} characters")
    names = {formats[name].mimetype: name for name in offered}
    best = parse_accept_header(header, MIMEAccept).best_match(names)
    if best is None:
        raise UnsupportedFormat("Accept", header, " or ".join(names))
    return names[best]
