"""The memory of a server's processes, as the kernel counts it."""

import re
from contextlib import suppress
from pathlib import Path

OWN = re.compile(r"^RssAnon:\s+(\d+) kB$", re.MULTILINE)


def processes(group: int) -> list[int]:
    """Return the ids of the processes of a process group, without those that have ended."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # the process ended meanwhile
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state != "Z":
                found.append(int(stat.parent.name))
    return sorted(found)


def total_mb(group: int) -> float:
    """Return the MB that the processes of a group take together; shared pages count once."""
    total = 0
    for pid in processes(group):
        with suppress(OSError):  # the process ended meanwhile
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += sum(int(x.split()[1]) for x in lines if x.startswith("Pss:"))
    return total * 1024 / 1e6


def own_mb(notes: Path) -> dict[str, float]:
    """Return the MB that each process has for itself, by the names of the server's ``notes``.

    Shared pages are left out: those of the arenas, which have a fixed size, become resident as they
    are used for the first time.
    """
    found = {}
    for note in sorted(notes.iterdir()):
        with suppress(OSError):  # the process ended meanwhile
            status = Path(f"/proc/{note.read_text().split()[0]}/status").read_text()
            found[note.name] = round(int(OWN.findall(status)[0]) * 1024 / 1e6, 1)
    return found
