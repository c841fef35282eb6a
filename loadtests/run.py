"""One load test, from the server's start to its end.

    python -m loadtests.run --seconds 20 --users 32 --python .venvs/serve/bin/python
    python -m loadtests.run --shape spike --slo overload --users 200 SingleImage CacheHitter

Unknown arguments are passed to Locust: ``--processes 2``, ``--csv out``, ``PageVisitor``.
"""

import argparse
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from loadtests.load import shape, slo
from loadtests.load.named_files import BadFile, names
from loadtests.serving import ROOT, ServerFailed, is_ready, serving

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
LAST_ANSWERS_S = 30
"""The seconds for which Locust waits for answers when the time is up, if nothing else is said."""
MARGIN_S = 180
"""The seconds for Locust's own start and end, after which Locust is taken to hang."""


@dataclass(frozen=True)
class Plan:
    """The settings of one load test."""

    seconds: int
    users: int
    wait_s: int
    """The seconds for which Locust waits for requests under way when the time is up."""
    url: str | None
    """The URL of a running server; None starts a server."""
    python: str
    env: dict[str, str]
    shape: str
    slo: str
    locust_args: tuple[str, ...]


class RunFailed(Exception):
    """The load test missed a threshold, or could not be run."""


def main(argv: list[str] | None = None) -> int:
    """Run, print one line of verdict, and return the exit status."""
    plan = parse(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the exit unwinds and stops the server
    began = time.monotonic()
    try:
        with server_of(plan) as url:
            load(plan, url)
    except (RunFailed, ServerFailed) as error:
        print(f"load test FAILED: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("load test stopped by Ctrl-C", file=sys.stderr)
        return 130
    took = time.monotonic() - began
    print(f"load test passed: {plan.users} users, {plan.seconds} s of load, {took:.0f} s in all")
    return 0


def parse(argv: list[str] | None) -> Plan:
    """Return the plan of the command line; a bad command line ends with status 2."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.run",
        description="Load a server and check every answer.",
        epilog="Other arguments go to Locust: --processes 2, --max-p95-ms 500, or users such as "
        "PageVisitor. Example: python -m loadtests.run --shape ramp --users 200 SingleImage",
        allow_abbrev=False,
    )
    parser.add_argument("--seconds", type=positive, default=20, help="duration (%(default)s)")
    parser.add_argument("--users", type=positive, default=32, help="users at a time (%(default)s)")
    parser.add_argument(
        "--wait-s",
        type=positive,
        default=LAST_ANSWERS_S,
        help="how long to wait for answers when the time is up; later is never (%(default)s)",
    )
    parser.add_argument("--url", help="URL of a running server; without it, one is started")
    parser.add_argument(
        "--python", default=sys.executable, help="interpreter that has the server's libraries"
    )
    parser.add_argument(
        "--env",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="setting for the server; repeatable",
    )
    for name, folder in (("shape", shape.SHAPES), ("slo", slo.SLOS)):
        shipped = ", ".join(names(folder))
        text = f"{shipped}, or a file of TOML (%(default)s)"
        default = "steady" if name == "shape" else "default"
        parser.add_argument(f"--{name}", default=default, help=text)
    options, rest = parser.parse_known_args(argv)
    try:
        shape.load(options.shape), slo.load(options.slo)
    except BadFile as error:
        parser.error(str(error))
    if importlib.util.find_spec("locust") is None:
        parser.error(f"{sys.executable} has no Locust; requirements/loadtest.txt names it")
    for pair in options.env:
        if "=" not in pair:
            parser.error(f"--env is {pair!r}; wanted NAME=VALUE")
    if options.url and options.env:
        parser.error("--env is for a server that is started here; --url names a running one")
    env = dict(pair.split("=", 1) for pair in options.env)
    url = options.url.rstrip("/") if options.url else None
    load_of = (options.shape, options.slo)
    counts = (options.seconds, options.users, options.wait_s)
    return Plan(*counts, url, options.python, env, *load_of, tuple(rest))


def positive(text: str) -> int:
    """Return a whole number above 0."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def server_of(plan: Plan) -> AbstractContextManager[str]:
    """Return the URL to load, for a ``with`` block: that of the user's server or of a new one.

    Raises:
        RunFailed: the user's server is not ready.
    """
    if plan.url is None:
        return own_server(plan)
    if not is_ready(plan.url, timeout_s=10.0):
        raise RunFailed(f"the server at {plan.url} is not ready")
    return nullcontext(plan.url)


@contextmanager
def own_server(plan: Plan) -> Iterator[str]:
    """Start a server, print its URL, and yield it."""
    try:
        with serving(plan.python, plan.env) as server:
            print(f"server {server.pid} is ready on {server.url}", flush=True)
            yield server.url
    except FileNotFoundError as error:
        raise RunFailed(f"--python is {plan.python!r}; wanted an interpreter") from error


def load(plan: Plan, url: str) -> None:
    """Run Locust, bounded in time.

    Raises:
        RunFailed: Locust ended with another status than 0, or did not end.
    """
    process = subprocess.Popen(command(plan, url), cwd=ROOT, start_new_session=True)
    try:
        status = process.wait(plan.seconds + plan.wait_s + MARGIN_S)
    except subprocess.TimeoutExpired:
        raise RunFailed("Locust did not end in time") from None
    finally:
        end(process)
    if status:
        raise RunFailed(f"Locust ended with status {status}; its lines above say why")


def command(plan: Plan, url: str) -> list[str]:
    """Return Locust's command line."""
    return [
        *(sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary"),
        *("--host", url, "--users", str(plan.users)),
        *("--run-time", f"{plan.seconds}s", "--stop-timeout", str(plan.wait_s)),
        *("--shape", plan.shape, "--slo", plan.slo),
        *plan.locust_args,
    ]


def end(process: subprocess.Popen[bytes]) -> None:
    """Stop Locust if it still runs: by SIGINT, so that it prints its summary, then by SIGKILL.

    With --processes its workers are in its group, and end with it.
    """
    try:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(LAST_ANSWERS_S + 5)
    except subprocess.TimeoutExpired:
        print("Locust did not stop and was killed", file=sys.stderr)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
