"""What both clients give httpx: the address, the header fields, the limits of time."""

import importlib.metadata
from typing import Any

import httpx

from carfront.errors import BadRequest, CarfrontError, TooLate, Unreachable
from carfront.retries import CONNECT_S, GRACE_S

CONNECTIONS = 64
"""The connections that a client keeps at most."""


def version() -> str:
    """Return the version of this package; from a checkout that is not installed it is unknown."""
    try:
        return importlib.metadata.version("carfront")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def url_of(text: str) -> str:
    """Return the server's address as httpx takes it; a path before ours is kept.

    Raises:
        BadRequest: it is none of HTTP.
    """
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, TypeError) as error:
        raise BadRequest(400, f"url is {text!r}; wanted http:// or https:// ({error})") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise BadRequest(400, f"url is {text!r}; wanted http://HOST:PORT or https://HOST")
    return text.rstrip("/")


def options_of(url: str, key: str | None, bulk: bool) -> dict[str, Any]:
    """Return what every client of httpx is made with: the address, header fields and limits."""
    headers = {"User-Agent": f"carfront/{version()}"}
    headers |= {"Carfront-Priority": "bulk"} if bulk else {}
    headers |= {"Authorization": f"Bearer {key}"} if key else {}
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    return {"base_url": url, "headers": headers, "limits": limits}


def timeouts(timeout_ms: int) -> httpx.Timeout:
    """Return the limits of an attempt that may take ``timeout_ms``.

    The server refuses in its own words at the deadline, and has a little longer to say so.
    """
    timeout_s = timeout_ms / 1000
    return httpx.Timeout(timeout_s + GRACE_S, connect=min(CONNECT_S, timeout_s))


def unreachable(url: str, error: httpx.HTTPError) -> CarfrontError:
    """Return ``error`` in a sentence: no server, a broken connection, or none in time."""
    if isinstance(error, httpx.ReadTimeout):
        return TooLate(504, f"{url} did not answer in time")
    why = str(error) or type(error).__name__
    return Unreachable(f"{url} does not answer: {why}")
