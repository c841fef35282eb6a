"""Where the engine of a test listens."""

import pytest


@pytest.fixture
def path(tmp_path):
    return tmp_path / "engine.sock"
