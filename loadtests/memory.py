"""The memory of a server's processes, as the kernel counts it."""

from contextlib import suppress
from pathlib import Path


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
