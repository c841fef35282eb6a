"""What is measured of each server, column by column, in the order in which it is measured."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from loadtests.compare import binary_rows, checks, faults, processes, rates
from loadtests.compare.contenders import SETTLE_S, Contender, Running, running
from loadtests.compare.overload import OVERLOAD, overload
from loadtests.readings import MeasureError
from loadtests.wrk import Load

START, FIRST, MEMORY = "start", "first image", "memory"
START_COLUMNS = frozenset((START, FIRST))


@dataclass(frozen=True)
class Part:
    """What is measured together, of a server that runs."""

    columns: tuple[str, ...]
    measure: Callable[[Running, int], dict[str, float]]
    """The function of the server and the seconds of a load that returns the columns' values."""


def _load_part(load: Load) -> Part:
    columns = tuple(filter(None, (load.name, rates.CPU.get(load.name))))
    return Part(columns, lambda s, t: rates.measured(s.url, load, t, s.requests, s.pid))


def _row_part(load: Load) -> Part:
    columns = (load.name, binary_rows.CPU[load.name])
    return Part(columns, lambda s, t: binary_rows.rate(s, load, t))


PARTS = (
    *map(_load_part, rates.LOADS),
    Part((MEMORY,), lambda s, _: {MEMORY: processes.memory_mb(processes.family(s.pid))}),
    *map(_row_part, binary_rows.LOADS),
    Part((rates.BESIDE.name,), lambda s, t: rates.beside_bulk(s.url, t, s.requests)),
    Part((faults.SLOW,), faults.beside_slow_readers),
    Part((faults.KILLED,), lambda s, _: faults.killed(s)),
    Part((OVERLOAD,), lambda s, t: overload(s.url, t, s.requests)),
)
"""The last ones leave a server with work that nobody waits for any more."""


@dataclass
class Found:
    """What was measured of one server in one round."""

    values: dict[str, float]
    dashes: dict[str, str]
    """The reason of each column that has no value."""


Round = dict[str, Found]
"""What was measured of each server, by its name."""


def one_round(contenders: Iterable[Contender], columns: Iterable[str], seconds: int) -> Round:
    """Return what is measured of each server, one after the other.

    Raises:
        MeasureError: our own server failed; a peer that fails has dashes, with the reason.
    """
    return {x.name: _measured(x, set(columns), seconds) for x in contenders}


def _measured(contender: Contender, columns: set[str], seconds: int) -> Found:
    found = Found({}, {})
    try:
        with running(contender) as server:
            _measure(server, columns, seconds, found)
    except MeasureError as error:
        if contender.is_ours:
            raise
        missing = columns - found.values.keys() - found.dashes.keys()
        found.dashes |= dict.fromkeys(missing, _sentence(error))
    return found


def _measure(server: Running, columns: set[str], seconds: int, found: Found) -> None:
    if START in columns:
        found.values[START] = server.start_s
    if FIRST in columns:
        found.values[FIRST] = checks.first_right_s(server, server.began)
    if columns <= START_COLUMNS:
        return
    time.sleep(SETTLE_S)
    checks.check(server)
    for part in PARTS:
        if columns.isdisjoint(part.columns):
            continue
        wanted = columns & set(part.columns)
        try:
            values = part.measure(server, seconds)
            found.values |= {name: values[name] for name in wanted}
        except (MeasureError, OSError, ValueError) as error:
            if server.contender.is_ours and not isinstance(error, faults.NotMeasured):
                raise
            found.dashes |= dict.fromkeys(wanted, _sentence(error))


def _sentence(error: Exception) -> str:
    """Return the reason of a dash as one line."""
    return " ".join(str(error).split())[:300]
