"""Holds idle, half-sent, unread and slow connections beside callers of one image, in little memory.

Each phase has a server of its own, in a cgroup of 512 MiB and on two processors: 16 callers alone,
beside each kind of connection, and beside all of them. Every caller has to be answered, every probe
within a second, and no process may be killed. A last column is measured without a limit: how much
more memory the HTTP workers take while 200 answers of 4,096 images are not read.
``--checkout`` names other checkouts, which are measured one after the other.
"""

import argparse
import asyncio
import re
import resource
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

from loadtests.hostile import HALF_SENT, IDLE, KINDS, SLOW, UNREAD, Hostile
from loadtests.memory_limit import MemoryLimit, limited
from loadtests.readings import save
from loadtests.serving import Server, ServerFailed, get, serving
from loadtests.steady import Steady

CALLERS = 16
MANY = {IDLE: 2000, HALF_SENT: 2000, UNREAD: 200, SLOW: 200}
"""How many connections of each kind are held."""
ALONE, ALL, MEMORY = "alone", "all", "memory"
PHASES = (ALONE, *KINDS, ALL, MEMORY)
LIMIT_MIB = 512
ALL_FOR = 2
"""How many times as long the phase ``all`` is: its connections take longer to be there."""
MEMORY_S = 90.0
"""The seconds at most of the phase ``memory``, which ends once all answers are held."""
METRICS_S = 2.0
"""The seconds after which a server that does not tell its metrics is asked no longer."""
FILES = 8192
"""The open files that this program and the server need."""
RSS = re.compile(r'carfront_process_resident_memory_bytes\{process="(http.*?)"\} (\S+)')


@dataclass
class Phase:
    """What happened in one phase."""

    checkout: str
    name: str
    memory_limit: str = "none"
    """The limit of the server's memory that was in force."""
    answered: int = 0
    p99_ms: float = 0.0
    settled_p99_ms: float = 0.0
    """The p99 of the requests that began when all connections had been opened once."""
    slowest_ms: float = 0.0
    errors: dict[str, int] = field(default_factory=dict)
    probes: int = 0
    late_probes: dict[str, int] = field(default_factory=dict)
    slowest_probe_s: float = 0.0
    held: dict[str, int] = field(default_factory=dict)
    """The most connections of each kind that the server held at a time."""
    ended: dict[str, int] = field(default_factory=dict)
    """How many of each kind the server has ended."""
    peak_mb: float = 0.0
    """The most memory that the server used, without the cache of files."""
    kills: int = 0
    """How many of its processes the kernel killed for want of memory."""
    workers_mb: float = 0.0
    """How much the HTTP workers took before."""
    workers_more_mb: float = 0.0
    """How much more they took at most, in the phase ``memory``."""
    failure: str = ""
    """Why the server failed, if it did."""

    def faults(self) -> list[str]:
        """Return a text for each fault; the list is empty if the server did as it should."""
        found = [f"{count} callers got {error}" for error, count in self.errors.items()]
        found += [f"{count} probes: {why}" for why, count in self.late_probes.items()]
        if not self.answered and self.name != MEMORY:
            found.append("no caller was answered")
        if self.kills:
            found.append(f"{self.kills} processes were killed for want of memory")
        if self.failure:
            found.append(self.failure.partition("\n")[0])
        return [f"{self.checkout}, {self.name}: {text}" for text in found]


def main(argv: list[str] | None = None) -> int:
    """Measure as the command line says; return the exit status."""
    args = parser().parse_args(argv)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < FILES:
        print(f"error: {FILES} open files are needed (ulimit -Hn is {hard})", file=sys.stderr)
        return 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, FILES), hard))
    phases = []
    try:
        for checkout in args.checkout or [Path()]:
            for name in args.only or PHASES:
                phases.append(run_phase(args, checkout, name))
                print(line(phases[-1]), flush=True)
    except KeyboardInterrupt:
        return 130
    faults = [fault for phase in phases for fault in phase.faults()]
    if args.save:
        command = " ".join(["python -m loadtests.edges", *(argv or sys.argv[1:])])
        found = [asdict(phase) for phase in phases]
        save(args.save, command, {"faults": faults, "phases": found})
    for fault in faults:
        print(f"fault: {fault}")
    return 1 if faults else 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    found = argparse.ArgumentParser(prog="python -m loadtests.edges", description=__doc__)
    found.add_argument("--seconds", type=float, default=15, help="seconds of each phase (15)")
    found.add_argument("--only", action="append", choices=PHASES, help="a phase; all of them")
    found.add_argument("--scale", type=float, default=1.0, help="share of the connections (1)")
    found.add_argument("--models", type=Path, help="the model repository (the checkout's)")
    found.add_argument("--checkout", type=Path, action="append", help="a checkout; this one")
    found.add_argument("--python", default=sys.executable, help="the serving interpreter")
    found.add_argument("--save", type=Path, help="write the result there as JSON")
    return found


def run_phase(args: argparse.Namespace, checkout: Path, name: str) -> Phase:
    """Start a server of ``checkout``, and return what happened in the phase ``name``."""
    phase = Phase(str(checkout), name)
    settings = {"CARFRONT_WORKERS": "2"}
    if args.models:
        settings["CARFRONT_MODELS"] = str(args.models.resolve())
    kinds = {ALONE: (), ALL: KINDS, MEMORY: (UNREAD,)}.get(name, (name,))
    wanted = {kind: round(MANY[kind] * args.scale) for kind in kinds}
    with limited(None if name == MEMORY else LIMIT_MIB) as limit:
        phase.memory_limit = limit.in_force()
        try:
            with serving(
                args.python, settings, checkout=checkout, launcher=limit.launcher
            ) as server:
                phase.workers_mb = workers_mb(server)
                seconds = {ALL: ALL_FOR * args.seconds, MEMORY: MEMORY_S}.get(name, args.seconds)
                hold(phase, server, wanted, seconds, limit)
        except ServerFailed as error:
            phase.failure = str(error)
        phase.kills = limit.kills()
    return phase


def hold(
    phase: Phase,
    server: Server,
    wanted: dict[str, int],
    seconds: float,
    limit: MemoryLimit,
) -> None:
    """Hold the ``wanted`` connections beside the callers; note in ``phase`` what comes of it."""
    hostile, steady = Hostile(server.url, wanted), Steady(server.url)
    is_memory = phase.name == MEMORY

    def watch() -> bool:
        phase.peak_mb = max(phase.peak_mb, limit.used_mb(server.pid))
        if is_memory:
            more = workers_mb(server) - phase.workers_mb
            phase.workers_more_mb = max(phase.workers_more_mb, more)
        return is_memory and hostile.counts.held[UNREAD] >= wanted[UNREAD]

    hostile.start()
    try:
        callers = 0 if is_memory else CALLERS
        seen = asyncio.run(steady.run(callers, seconds, watch))
    finally:
        hostile.stop()
    phase.answered, phase.p99_ms = len(seen.answered_s), seen.p99_ms()
    if hostile.opened_at is not None:
        phase.settled_p99_ms = seen.p99_ms(hostile.opened_at)
    phase.slowest_ms = 1000 * max((took for _, took in seen.answered_s), default=0.0)
    phase.errors, phase.probes = dict(seen.errors), seen.probes
    phase.late_probes, phase.slowest_probe_s = dict(seen.late_probes), seen.slowest_probe_s
    phase.held, phase.ended = dict(hostile.counts.most_held), dict(hostile.counts.ended)


def workers_mb(server: Server) -> float:
    """Return the resident memory of all HTTP workers in MB, 0 where the server does not answer."""
    try:
        text = get(f"{server.url}/metrics", METRICS_S).decode()
    except OSError:
        return 0.0
    return sum(float(value) for _, value in RSS.findall(text)) / 1e6


def line(phase: Phase) -> str:
    """Return one line about ``phase`` for people."""
    held = ", ".join(f"{number:,} {kind}" for kind, number in phase.held.items()) or "nothing"
    late = sum(phase.late_probes.values())
    text = (
        f"{phase.name:9} p99 {phase.p99_ms:.1f} ms of {phase.answered:,} answers, "
        f"{phase.settled_p99_ms:.1f} once all are open, "
        f"{sum(phase.errors.values())} errors; {late} of {phase.probes} probes late; "
        f"{phase.peak_mb:.0f} MB (limit: {phase.memory_limit}), {phase.kills} killed; held {held}"
    )
    if phase.name == MEMORY:
        text += f"; HTTP workers {phase.workers_mb:.0f} + {phase.workers_more_mb:.0f} MB"
    return f"{text}; FAILED" if phase.faults() else text


if __name__ == "__main__":
    sys.exit(main())
