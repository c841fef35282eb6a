"""Conversations: a case or more between control requests on one connection, and how it is sent."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from loadtests.fuzz import (
    bodies,
    chunks,
    documents,
    heads,
    inference,
    inference_parts,
    large,
    photographs,
    repository,
    routes,
    sources,
    targets,
    tfserving,
)
from loadtests.fuzz.maker import Maker
from loadtests.fuzz.request import Owed, Request

MODULES = (
    heads, targets, bodies, chunks, documents, repository, sources, large, photographs, inference,
    inference_parts, tfserving, routes,
)  # fmt: skip
CASES = {case: often for module in MODULES for case, often in module.CASES.items()}
MOST_CASES = 3


@dataclass(frozen=True)
class Conversation:
    """The requests of one connection, and how they are sent."""

    number: int
    requests: list[Request]
    is_pipelined: bool
    """Whether requests are sent before the answers to those before them are read."""
    pieces: tuple[float, ...]
    """Where the bytes are cut into pieces, as parts of their length from 0 to 1, in order."""
    hangs_up: bool
    """Whether the caller ends the connection at once and reads no answer."""


def conversation(
    maker: Maker, number: int, cases: Mapping[Callable[[Maker], Request], int] = CASES
) -> Conversation:
    """Return the conversation of this ``number``, whose requests ``maker`` makes, of ``cases``."""
    rng = maker.rng
    requests: list[Request] = [maker.control() for _ in range(rng.randrange(2))]
    for _ in range(rng.randint(1, MOST_CASES)):
        case = rng.choices(list(cases), list(cases.values()))[0]
        requests.append(case(maker))
        if rng.random() < 0.5:
            requests.append(maker.control())
    requests.append(maker.control())
    end = next((at for at, x in enumerate(requests) if x.ends_writing), len(requests) - 1)
    requests = requests[: end + 1]
    if rng.random() < 0.2:
        requests[-1].ends_writing = True
    is_pipelined = rng.random() < 0.4 and not any(request.waits for request in requests)
    pieces = tuple(sorted(rng.random() for _ in range(rng.choice((0, 0, 1, 3, 8)))))
    hangs_up = rng.random() < 0.02 and requests[-1].owed is not Owed.EITHER
    return Conversation(number, requests, is_pipelined, pieces, hangs_up)
