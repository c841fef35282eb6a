"""The process that answers by gRPC, in this process, over a model that is plain arithmetic."""

from contextlib import ExitStack

import pytest
from grpc_caller import Caller, until_ready
from tests_engine import publish, running

from server.config import ServerConfig
from server.grpc.process import GrpcProcess
from tests.patience import PATIENCE_S


@pytest.fixture
def config(tmp_path):
    patience_ms = PATIENCE_S * 1000
    config = ServerConfig(
        runtime_dir=tmp_path, grpc_port=0, model="tiny", request_timeout_ms=patience_ms
    )
    for engine_dir in config.engine_dirs:
        engine_dir.prepare()
    publish(config.engine_dirs[0].socket)
    return config


@pytest.fixture
def start():
    """Start the process with a ``ServerConfig``, and return it, and a caller of it."""
    with ExitStack() as stack:

        def start(config, log_access=None):
            process = GrpcProcess(config, log_access)
            stack.callback(process.close)
            caller = Caller(process.server.port)
            stack.callback(caller.channel.close)
            return process, caller

        yield start


@pytest.fixture
def engine(config):
    """The engine; a test that needs another one runs it by itself."""
    with running(config.engine_dirs[0].socket) as engine:
        yield engine


@pytest.fixture
def served(config, engine, start):
    """The process, and a caller of it, over an engine that answers."""
    process, caller = start(config)
    until_ready(process)
    return process, caller


@pytest.fixture
def caller(served):
    return served[1]
