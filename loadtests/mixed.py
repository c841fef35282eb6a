"""Has requests of very different sizes meet: are the small ones served beside the big ones?

``python -m loadtests.mixed old=../other new=.`` runs the servers of checkouts in turns, each load
with a server of its own. The callers of a load ask in a closed loop: each asks again as soon as it
is answered, and after a pause when it was refused. A request that the server accepted is late when
it is answered by 504: its deadline passed while it waited. ``late`` is the share of those among the
accepted, ``refused`` the share of 503 among all requests.
"""

import argparse
import asyncio
import json
import random
import re
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from loadtests.callers import Connection
from loadtests.compare.contenders import SETTLE_S, Contender, started
from loadtests.percentile import percentile
from loadtests.readings import MeasureError, save
from loadtests.serving import get

WARM_S = 5.0
"""The seconds at the begin of a load that do not count: the server learns its rate."""
PAUSE_S = 0.25
"""The seconds for which a caller waits after a refusal; an answer says at least one second."""


@dataclass(frozen=True)
class Group:
    """Callers that ask for ``fewest`` to ``most`` images at a time, with the same deadline."""

    name: str
    callers: int
    fewest: int
    most: int
    deadline_s: float


LOADS = {
    "late": (Group("1 image", 200, 1, 1, 30.0), Group("64 to 256 images", 16, 64, 256, 4.0)),
    "alone": (Group("64 to 256 images", 16, 64, 256, 4.0),),
    "huge": (Group("1 to 16 images", 4, 1, 16, 10.0), Group("4,096 images", 50, 4096, 4096, 60.0)),
    "nine": (Group("9 images", 4, 9, 9, 10.0), Group("4,096 images", 8, 4096, 4096, 60.0)),
}
"""The loads by their names, each with the groups of callers that meet."""


@dataclass
class Answers:
    """The answers to one group of callers."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    """The seconds that each request with status 200 took."""
    images: int = 0
    """The number of images that arrived before the load was over."""

    def facts(self, over_s: float) -> dict[str, float]:
        """Return what the answers say of the server, which was loaded for ``over_s``."""
        good, late, refused = (self.statuses[status] for status in (200, 504, 503))
        return {
            "requests": self.statuses.total(),
            "refused": refused / max(self.statuses.total(), 1),
            "accepted": good + late,
            "late": late / max(good + late, 1),
            "other": self.statuses.total() - good - late - refused,
            "p50_s": percentile(self.seconds, 50),
            "p99_s": percentile(self.seconds, 99),
            "images_per_s": self.images / over_s,
        }


def main(argv: list[str] | None = None) -> int:
    """Run the loads as the command line says; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.mixed", description=__doc__)
    parser.add_argument("servers", nargs="+", metavar="NAME=PLACE", help="checkouts, in turns")
    parser.add_argument("--load", action="append", choices=LOADS, help="a load; all of them")
    parser.add_argument("--rounds", type=int, default=3, help="rounds (3)")
    parser.add_argument("--seconds", type=float, default=20, help="seconds of each load (20)")
    parser.add_argument("--python", default=sys.executable, help="the interpreter of all of them")
    parser.add_argument("--save", type=Path, help="write the result there as JSON")
    args = parser.parse_args(argv)
    named = [each.partition("=")[::2] for each in args.servers]
    python = str(Path(args.python).absolute()) if "/" in args.python else args.python
    contenders = [Contender(name, place, python) for name, place in named]
    found = []
    try:
        for number in range(args.rounds):
            for load in args.load or LOADS:
                for contender in contenders:
                    found.append(one_load(contender, load, args.seconds, number))
                    print(sentence(found[-1]), flush=True)
    except MeasureError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if args.save:
        command = " ".join(["python -m loadtests.mixed", *(argv or sys.argv[1:])])
        save(args.save, command, {"runs": found})
    return 0


Run = dict[str, object]
"""The name of the server and of the load, the groups' facts, and what the server has counted."""


def one_load(contender: Contender, load: str, seconds: float, number: int) -> Run:
    """Return what one server reaches under one load; ``number`` decides which sizes come."""
    with started(contender) as (url, _):
        time.sleep(SETTLE_S)
        answers = asyncio.run(meet(url, LOADS[load], seconds, number))
        metrics = get(f"{url}/metrics").decode()
    counted = dict(re.findall(r"^carfront_((?:rejected|dropped)\S+) (\S+)$", metrics, re.MULTILINE))
    groups = {name: each.facts(seconds) for name, each in answers.items()}
    return {"server": contender.name, "load": load, "groups": groups, "counted": counted}


async def meet(
    url: str, groups: tuple[Group, ...], seconds: float, number: int, warm_s: float = WARM_S
) -> dict[str, Answers]:
    """Have all callers ask the server at ``url`` for ``seconds``, which begin after ``warm_s``."""
    found = {group.name: Answers() for group in groups}
    starts = time.monotonic() + warm_s
    ends = starts + seconds
    callers = [
        caller(url, group, found[group.name], starts, ends, random.Random(f"{number} {k}"))
        for group in groups
        for k in range(group.callers)
    ]
    await asyncio.gather(*callers)
    return found


async def caller(
    url: str, group: Group, answers: Answers, starts: float, ends: float, sizes: random.Random
) -> None:
    """Ask until the time ``ends``, and note the answers from the time ``starts`` on."""
    place = urlsplit(url)
    connection = None
    while time.monotonic() < ends:
        if connection is None or connection.transport.is_closing():
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_connection(
                Connection, place.hostname or "", place.port or 80
            )
        n = sizes.randint(group.fewest, group.most)
        seed = sizes.getrandbits(48)
        began = time.monotonic()
        status = await connection.ask(request(place.netloc, n, seed, group.deadline_s))
        took_s = time.monotonic() - began
        if began >= starts:
            answers.statuses[status] += 1
        if began >= starts and status == 200:
            answers.seconds.append(took_s)
        if status == 200:
            answers.images += n if starts <= began + took_s < ends else 0
        else:
            await asyncio.sleep(PAUSE_S)
    if connection is not None:
        connection.transport.close()


def request(host: str, n: int, seed: int, deadline_s: float) -> bytes:
    """Return a request for ``n`` images: one as PNG, several as npy."""
    terms = f"Host: {host}\r\nX-Request-Timeout-Ms: {deadline_s * 1000:.0f}\r\n"
    if n == 1:
        return f"GET /v1/images/{seed}.png HTTP/1.1\r\n{terms}\r\n".encode()
    body = json.dumps({"n": n, "seed": seed, "format": "npy"})
    head = f"POST /v1/images HTTP/1.1\r\n{terms}Content-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


def sentence(run: Run) -> str:
    """Return what is told of one run."""
    lines = [f"{run['load']}, {run['server']}: {run['counted']}"]
    groups = run["groups"]
    assert isinstance(groups, dict)
    for name, facts in groups.items():
        lines.append(
            f"    {name}: {facts['requests']} requests, {facts['refused']:.1%} refused, "
            f"{facts['late']:.1%} of {facts['accepted']} accepted late, "
            f"p50 {facts['p50_s']:.3f} s, "
            f"p99 {facts['p99_s']:.3f} s, {facts['images_per_s']:,.0f} images/s"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
