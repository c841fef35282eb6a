"""TensorFlow imported without its banners, which its libraries print whatever its settings say."""

import importlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

LEVEL = "TF_CPP_MIN_LOG_LEVEL"
"""The variable with which a caller asks for what TensorFlow has to say."""
BANNERS = re.compile(
    rb"I\d{4} .*|WARNING: All log messages before absl::.*|To enable the following .*"
)


def import_tensorflow() -> None:
    """Import TensorFlow, which says nothing unless the variable ``TF_CPP_MIN_LOG_LEVEL`` is set.

    The level holds only once the libraries are loaded. What they print until then goes to the file
    descriptor, and each of two libraries prints it.
    """
    if LEVEL in os.environ:
        return
    os.environ[LEVEL] = "2"
    with without_banners():
        importlib.import_module("tensorflow")


@contextmanager
def without_banners() -> Iterator[None]:
    """Hold back what is written to stderr in the block, and pass on all lines but banners."""
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            held.seek(0)
            for line in held:
                if not BANNERS.fullmatch(line.rstrip(b"\n")):
                    os.write(2, line)
