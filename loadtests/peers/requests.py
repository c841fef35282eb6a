"""The requests with which a peer is asked, where it cannot answer those of our server.

``loadtests.compare`` asks every server alike, but for the peers in ``OWN``. Those are asked for as
many images a request, of as many seeds, over the same connections.
"""

import json
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

from loadtests import serving, wrk

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

IMAGES_PATH = "/v1/images"
POSTED = (
    wrk.ANY_SEED
    + """
wrk.headers["Content-Type"] = "application/json"
function request()
  seed = seed + 1
  local body = '{"n": IMAGES, "seed": ' .. string.format("%d", seed) .. '}'
  return wrk.format("POST", "PATH", nil, body)
end
"""
)


@dataclass(frozen=True)
class Requests:
    """How one server is asked: by the load generator, and whether it is ready."""

    script: Callable[[wrk.Load], str]
    """The function that returns the Lua script with which wrk makes a load's requests."""
    is_ready: Callable[[str], bool]
    """The function that returns whether the server at a URL can serve."""


def posted(load: wrk.Load) -> str:
    """Return the script of a load whose every request is a body at one path."""
    return POSTED.replace("IMAGES", str(load.images)).replace("PATH", IMAGES_PATH)


def draws(url: str) -> bool:
    """Return whether the server at ``url`` answers such a request with an image."""
    body = json.dumps({"n": 1, "seed": 0}).encode()
    try:
        with _opener.open(urllib.request.Request(f"{url}{IMAGES_PATH}", body), timeout=2):
            return True
    except OSError:
        return False


OURS = Requests(lambda load: load.script, serving.is_ready)
OWN = {"loadtests.peers.mosec_batcher": Requests(posted, draws)}
"""The requests of the peers that cannot take ours, by their modules."""
