"""The address at which callers see this server: of a proxy in front of it, where there is one."""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

PREFIX = re.compile(r"(?:/[A-Za-z0-9._~%-]+)+/?")
"""A path that a proxy has taken off. A browser would take two slashes for another host."""
PLACE = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?")
"""A host, and a port where it is not the scheme's own."""
SCHEMES = ("http", "https")
FIELDS = "X-Forwarded-Host, X-Forwarded-Prefix, X-Forwarded-Proto"
"""The fields of a request, besides Host, that decide the address."""


def prefix_of(environ: "WSGIEnvironment") -> str:
    """Return the path below which callers see this server, without a slash at its end."""
    prefix = environ.get("HTTP_X_FORWARDED_PREFIX") or environ.get("SCRIPT_NAME", "")
    return prefix.rstrip("/") if PREFIX.fullmatch(prefix) else ""


def address_of(environ: "WSGIEnvironment") -> str:
    """Return the URL, without a slash at its end, below which the caller has this server's paths.

    It is what a proxy says, else what the request itself says. A host that could be none is
    replaced by "localhost".
    """
    scheme = environ.get("HTTP_X_FORWARDED_PROTO", "").lower()
    if scheme not in SCHEMES:
        scheme = environ["wsgi.url_scheme"]
    told = (environ.get(name, "") for name in ("HTTP_X_FORWARDED_HOST", "HTTP_HOST"))
    place = next((x for x in told if PLACE.fullmatch(x)), "localhost")
    return f"{scheme}://{place}{prefix_of(environ)}"
