"""The peers by their names: the module of each, its environment, its requests and its packages."""

from dataclasses import dataclass

from loadtests.peers.requests import OURS, BinaryRequests, PostedRequests, Requests


@dataclass(frozen=True)
class Peer:
    """A server of other people's, with the best configuration that its own pages tell of."""

    module: str
    """The module that starts it, with ``--port``."""
    environment: str
    """The folder below ``.venvs`` with its interpreter; ``make`` makes it from its lock."""
    packages: tuple[str, ...]
    """The packages whose versions are told beside its results."""
    requests: Requests = OURS
    system_python: str = ""
    """The interpreter that the environment has to be made with; empty for any."""


PEERS = {
    "flask": Peer("loadtests.peers.flask_sessions", "peers", ("flask", "gunicorn")),
    "flask-keras": Peer(
        "loadtests.peers.flask_keras", "dev", ("flask", "gunicorn", "keras", "tensorflow-cpu")
    ),
    "starlette": Peer("loadtests.peers.starlette_batcher", "peers", ("starlette", "uvicorn")),
    "granian": Peer("loadtests.peers.starlette_granian", "peers", ("starlette", "granian")),
    "mosec": Peer("loadtests.peers.mosec_batcher", "peers", ("mosec",), PostedRequests()),
    "litserve": Peer(
        "loadtests.peers.litserve_api", "peers-litserve", ("litserve",), PostedRequests()
    ),
    "bentoml": Peer("loadtests.peers.bentoml_service", "peers-bentoml", ("bentoml",)),
    "mlserver": Peer("loadtests.peers.mlserver_batching", "peers-mlserver", ("mlserver",)),
    "ray": Peer("loadtests.peers.ray_serve", "peers-ray", ("ray",)),
    "triton": Peer(
        "loadtests.peers.triton_server",
        "peers-triton",
        ("nvidia-pytriton",),
        BinaryRequests(),
        system_python="/usr/bin/python3",
    ),
}


def peer_of(module: str) -> Peer | None:
    """Return the peer that ``module`` starts; None if it is none of them."""
    return next((peer for peer in PEERS.values() if peer.module == module), None)
