"""Compares how long the pods of checkouts take to be ready, in turns, in one run.

``python -m tests.containers.time_to_ready new=. old=../other:serve-amd.txt`` builds the image of
each checkout, by the requirements that are named or else by the Dockerfile's own, and runs it with
the user, limits and security of that checkout's overlay. A pod is ready when ``/readyz`` says so
first. The kubelet looks once a period of the startup probe, so it sees that a little later. The
ratios compare each checkout with the first one, round by round; results are medians.
"""

import argparse
import math
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from loadtests.readings import commit_of, hardware, save
from tests.containers.engine import Docker, Missing, engine, make_base
from tests.containers.pods import started
from tests.k8s.rendering import Resources, containers, only, pod_template, render_folder

WITHIN_S = 120.0
POLL_S = 0.005


@dataclass(frozen=True)
class Checkout:
    """A checkout of this repository, whose image is measured."""

    name: str
    folder: Path
    requirements: str

    @property
    def image(self) -> str:
        """The name of the image."""
        return f"carfront:{self.name}"

    @property
    def commit(self) -> str:
        """The checkout's commit."""
        return commit_of(self.folder)

    def build(self, docker: Docker) -> None:
        """Build the image."""
        arguments = ["--network=host", "--pull=false", f"--tag={self.image}"]
        if self.requirements:
            arguments.append(f"--build-arg=REQUIREMENTS={self.requirements}")
        docker("build", *arguments, str(self.folder))

    def resources(self, overlay: str) -> Resources:
        """Return what the checkout's overlay builds."""
        return render_folder(self.folder / "k8s/overlays" / overlay)


def main(argv: list[str] | None = None) -> int:
    """Measure as the command line says; return the exit status."""
    given = sys.argv[1:] if argv is None else argv
    args = parser().parse_args(given)
    rounds: list[dict[str, float]] = []
    with ExitStack() as stack:
        try:
            docker = stack.enter_context(engine())
            make_base(docker, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        except Missing as missing:
            print(f"no containers here: {missing}", file=sys.stderr)
            return 2
        for checkout in args.checkouts:
            print(f"building the image of {checkout.name}", flush=True)
            checkout.build(docker)
        resources = {checkout: checkout.resources(args.overlay) for checkout in args.checkouts}
        for number in range(args.rounds):
            rounds.append({x.name: ready_s(docker, x, resources[x]) for x in args.checkouts})
            print(f"round {number + 1} of {args.rounds}: {rounds[-1]}", flush=True)
        print(table(rounds, {x.name: probe_period_s(resources[x]) for x in args.checkouts}))
        if args.save:
            facts = {
                "commits": {checkout.name: checkout.commit for checkout in args.checkouts},
                "rounds": rounds,
            }
            save(args.save, " ".join(["python -m tests.containers.time_to_ready", *given]), facts)
        print("removing the images", flush=True)
    return 0


def ready_s(docker: Docker, checkout: Checkout, resources: Resources) -> float:
    """Return the seconds from a new pod's start until it is ready.

    Raises:
        TimeoutError: the pod was not ready in ``WITHIN_S``; the message has its log.
    """
    began = time.perf_counter()
    with started(docker, checkout.name, checkout.image, resources) as pod:
        while not pod.is_ready:
            if time.perf_counter() - began > WITHIN_S:
                raise TimeoutError(f"{checkout.name} is not ready in {WITHIN_S:g} s: {pod.log()}")
            time.sleep(POLL_S)
        return time.perf_counter() - began


def probe_period_s(resources: Resources) -> int:
    """Return the seconds between two looks of the kubelet at a pod that starts."""
    (container,) = containers(pod_template(only(resources, "Deployment")))
    period: int = container["startupProbe"]["periodSeconds"]
    return period


def table(rounds: list[dict[str, float]], periods: dict[str, int]) -> str:
    """Return the medians, and their ratios to the first checkout's, as a table in Markdown."""
    first, *_ = rounds[0]
    lines = [
        f"{hardware()}; medians of {len(rounds)} rounds, ratio to {first} in brackets",
        "",
        "| checkout | ready (s) | seen by the startup probe (s) |",
        "| --- | ---: | ---: |",
    ]
    for name in periods:
        seen = [{x: math.ceil(s / periods[x]) * periods[x] for x, s in r.items()} for r in rounds]
        cells = [
            f"{statistics.median(x[name] for x in column):.2f} "
            f"({statistics.median(x[name] / x[first] for x in column):.2f})"
            for column in (rounds, seen)
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def checkout_of(text: str) -> Checkout:
    """Return the checkout that an argument names."""
    name, _, place = text.partition("=")
    folder, _, requirements = place.partition(":")
    if not name or not (Path(folder) / "Dockerfile").is_file():
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=CHECKOUT[:REQUIREMENTS]")
    return Checkout(name, Path(folder).resolve(), requirements)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    found = argparse.ArgumentParser(
        prog="python -m tests.containers.time_to_ready",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    found.add_argument("checkouts", nargs="+", type=checkout_of, metavar="NAME=CHECKOUT")
    found.add_argument("--overlay", default="cpu", help="whose limits the pods have (cpu)")
    found.add_argument("--rounds", type=int, default=5, help="pods of each checkout (5)")
    found.add_argument("--save", type=Path, help="a file for the results, as JSON")
    return found


if __name__ == "__main__":
    sys.exit(main())
