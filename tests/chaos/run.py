"""Breaks parts of a serving server for minutes and checks every image that it returns meanwhile.

Clients ask without pause for single PNGs and for many images as npy, and compare each with the one
that the server drew of the same seed before anything was broken. A fault happens every few
seconds. A wrong image, an error status, or a recovery that takes too long is a failure; a
connection that breaks, as a killed HTTP worker's do, is counted, and the request made again.
"""

import argparse
import random
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from loadtests.readings import hardware
from loadtests.serving import ServerFailed
from tests.chaos.callers import SEEDS, Client, Clients, largest
from tests.chaos.faults import FAULTS, Fault, Victim, until, victim


@dataclass
class Recovery:
    """What came of one kind of fault, each time."""

    served_s: list[float] = field(default_factory=list)
    """When new callers had their images, after it had happened."""
    lull_s: list[float] = field(default_factory=list)
    """How long nobody was answered, until the next fault."""
    slowest_s: list[float] = field(default_factory=list)
    """How long the slowest request took until then."""


def main(argv: list[str] | None = None) -> int:
    """Run the chaos as the command line says; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.run", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120, help="seconds in all (120)")
    parser.add_argument("--every", type=float, default=4, help="seconds between faults (4)")
    parser.add_argument("--clients", type=int, default=16, help="clients at the same time (16)")
    parser.add_argument(
        "--recovery", type=float, default=3, help="seconds that a recovery may take (3)"
    )
    parser.add_argument("--seed", type=int, default=0, help="decides the order of the faults")
    parser.add_argument("--python", default=sys.executable, help="the serving interpreter")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="carfront-chaos-") as folder:
        try:
            with victim(args.python, Path(folder)) as harmed:
                return chaos(harmed, args)
        except (ServerFailed, TimeoutError) as error:
            print(f"chaos FAILED: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130


def chaos(harmed: Victim, args: argparse.Namespace) -> int:
    """Break ``harmed`` for ``args.seconds``, print what came of it, and return the exit status."""
    url = harmed.server.url
    began = time.monotonic()
    golden = Client(url).npy(0, SEEDS)
    most = largest(SEEDS / (time.monotonic() - began), args.clients)
    print(f"{args.clients} clients ask for 1 to {most} images", flush=True)
    clients = Clients(url, golden, args.clients, most)
    rng = random.Random(args.seed)
    recoveries = {fault: Recovery() for fault in rng.sample(FAULTS, len(FAULTS))}
    ends = time.monotonic() + args.seconds
    try:
        while time.monotonic() < ends:
            for fault, recovery in recoveries.items():
                clients.longest_lull_s()
                clients.slowest_s()
                fault.strike(harmed)
                began = time.monotonic()
                for _ in range(3):  # new connections, so that more than one worker is asked
                    Client(url).png(rng.randrange(SEEDS))
                recovery.served_s.append(time.monotonic() - began)
                time.sleep(args.every)
                until(harmed.is_whole, f"the server is not whole again after: {fault.name}")
                recovery.lull_s.append(clients.longest_lull_s())
                recovery.slowest_s.append(clients.slowest_s())
                print(
                    f"{fault.name}: new callers served after {recovery.served_s[-1]:.2f} s, "
                    f"nobody answered for {recovery.lull_s[-1]:.2f} s, "
                    f"slowest request {recovery.slowest_s[-1]:.2f} s",
                    flush=True,
                )
                if time.monotonic() > ends:
                    break
    finally:
        clients.stop()
    return verdict(clients, recoveries, args.recovery)


def verdict(clients: Clients, recoveries: dict[Fault, Recovery], limit_s: float) -> int:
    """Print the result and return the exit status."""
    happened = {fault: found for fault, found in recoveries.items() if found.lull_s}
    print(f"\n{hardware()}\n")
    print("| fault | times | median lull | longest | allowed | slowest request |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    slow = False
    for fault, found in sorted(happened.items(), key=lambda item: item[0].name):
        allowed_s = limit_s + fault.noticed_in_s
        slow |= max(found.lull_s) > allowed_s or max(found.served_s) > allowed_s
        print(
            f"| {fault.name} | {len(found.lull_s)} | {statistics.median(found.lull_s):.2f} s | "
            f"{max(found.lull_s):.2f} s | {allowed_s:g} s | {max(found.slowest_s):.2f} s |"
        )
    print("\n" + ", ".join(f"{value:,} {name}" for name, value in sorted(clients.counts.items())))
    for error in clients.errors[:20]:
        print(f"  {error}")
    failed = clients.counts["wrong answers"] or clients.counts["errors"] or slow
    print("chaos FAILED" if failed else "chaos passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
