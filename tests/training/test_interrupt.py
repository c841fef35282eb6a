"""The first Ctrl-C is held back, the second is not, and afterwards all is as before."""

import os
import signal

import pytest

from training.interrupt import Interrupt


def test_first_is_noted_and_told_and_the_second_raises(capsys):
    before = signal.getsignal(signal.SIGINT)
    with Interrupt() as interrupt:
        assert not interrupt.requested
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupt.requested
        assert "stopping after this epoch" in capsys.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
