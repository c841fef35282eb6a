"""Where the server lies on this machine: the client's wheel holds none of it."""

import os
from pathlib import Path

HOME = "CARFRONT_HOME"
"""The variable with the server's folder."""
IMAGE = Path("/app")
"""The server's folder in its container image."""


def server_near(*places: Path) -> Path | None:
    """Return the nearest folder at or above one of ``places`` that holds a server, if any does."""
    for place in places:
        for folder in (place.absolute(), *place.absolute().parents):
            if (folder / "server" / "gunicorn.conf.py").is_file():
                return folder
    return None


def find_server(named: Path | None, *near: Path) -> Path | None:
    """Return the folder of the server, if there is one.

    It is at or above ``named``, or else what ``CARFRONT_HOME`` names. If both are missing it is
    the nearest to the working folder, to ``near``, to this package, or the container image's.
    """
    if named is None and (home := os.environ.get(HOME)):
        named = Path(home)
    if named is not None:
        return server_near(named)
    return server_near(Path.cwd(), *near, Path(__file__), IMAGE)
