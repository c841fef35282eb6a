"""Sends requests that Schemathesis makes from ``/openapi.json``, and holds every answer against it.

The requests are right and wrong ones: examples, the edges of each schema, and what Hypothesis
thinks of. The run fails where a status, a type, a header field or a body is another than the
document says, where what the document forbids is taken, and for any 5xx but 501, 503 and 504.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from loadtests.serving import ROOT, serving

CONFIG = Path(__file__).with_name("conformance.toml")
COMMAND = "from schemathesis.cli import schemathesis; schemathesis()"
TOKEN = "conformance-administers"
"""The administrator's token of the server under test."""
SETTINGS = {"CARFRONT_ADMIN_TOKEN": TOKEN, "CARFRONT_REQUEST_TIMEOUT_MS": "600000"}


def main(argv: list[str] | None = None) -> int:
    """Test as the command line says; return the exit status."""
    args = parser().parse_args(argv)
    if args.url:
        return conform(args.url, args.examples, args.seed)
    with serving(args.python, SETTINGS, checkout=args.checkout) as server:
        return conform(server.url, args.examples, args.seed)


def conform(url: str, examples: int, seed: int) -> int:
    """Test the server at ``url``, so many ``examples`` an operation; return 0 if it conforms."""
    options = ["--max-examples", str(examples), "--seed", str(seed)]
    location = [f"{url}/openapi.json", "--url", url]
    command = [sys.executable, "-c", COMMAND, "--config-file", str(CONFIG), "run"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}  # of the hooks
    with tempfile.TemporaryDirectory() as folder:  # Schemathesis leaves a cache where it runs
        ended = subprocess.run(
            [*command, *location, *options], cwd=folder, env=environ, check=False
        )
    return ended.returncode


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    found = argparse.ArgumentParser(prog="python -m loadtests.conformance", description=__doc__)
    found.add_argument("--examples", type=int, default=50, help="requests an operation (50)")
    found.add_argument("--seed", type=int, default=20, help="decides all requests (20)")
    found.add_argument("--url", help="a server that runs; without it one is started")
    found.add_argument("--python", default=sys.executable, help="the serving interpreter")
    found.add_argument("--checkout", type=Path, default=ROOT, help="whose server is started")
    return found


if __name__ == "__main__":
    sys.exit(main())
