"""Whether gRPC's libraries are there: asked before the fork, and so without importing them."""

from importlib.util import find_spec

from server.config_error import ConfigError

LIBRARIES = {
    "grpc": "grpcio",
    "grpc_health": "grpcio-health-checking",
    "grpc_reflection": "grpcio-reflection",
}
"""The packages that are imported, and what is to be installed for each."""


def check_installed(port: int) -> None:
    """Check that gRPC's libraries are installed, as calls are wanted at ``port``.

    Raises:
        ConfigError: they are not installed; the message says what to install.
    """
    missing = [wanted for name, wanted in LIBRARIES.items() if find_spec(name) is None]
    if missing:
        wanted = f"nothing, or pip install {' '.join(missing)}: see requirements/serve.txt"
        raise ConfigError("grpc_port", port, wanted)
