"""Briefly; for a minute by hand, see ``loadtests/README.md``."""

import pytest

from tests.chaos.busy import main
from tests.servers import PYTHON

pytestmark = pytest.mark.servers


def test_nothing_hangs_that_waits_for_a_processor_or_was_frozen_with_all_others(capsys):
    assert main(["--seconds", "3", "--busy", "20", "--python", PYTHON]) == 0
    assert "all processes are there" in capsys.readouterr().out
