"""A memory cgroup for a server: a limit, the most that was used, and who was killed for it.

Both versions of cgroups are spoken. Where neither can be written, there is no limit, and the
memory of the processes is added up.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from loadtests.memory import total_mb

ROOT = Path("/sys/fs/cgroup")
ENTER = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
"""The program of a shell that enters the cgroup named first and becomes the command behind it."""


@dataclass(frozen=True)
class Files:
    """The names that a version of cgroups has for the same facts."""

    version: int
    limit: str
    used: str
    cache: str
    """The line of ``memory.stat`` with the bytes of files that can be dropped at any time."""
    kills: str
    """The file that counts the processes that were killed."""


V1 = Files(
    1,
    "memory.limit_in_bytes",
    "memory.usage_in_bytes",
    "total_inactive_file",
    "memory.oom_control",
)
V2 = Files(2, "memory.max", "memory.current", "inactive_file", "memory.events")


@dataclass(frozen=True)
class MemoryLimit:
    """The cgroup of one server; without a ``folder`` there is no limit."""

    folder: Path | None
    files: Files = V2

    @property
    def launcher(self) -> tuple[str, ...]:
        """The program that starts a command inside, on two processors."""
        two = sorted(os.sched_getaffinity(0))[:2]
        processors = ("taskset", "-c", ",".join(map(str, two)))
        return ("sh", "-c", ENTER, str(self.folder), *processors) if self.folder else processors

    def in_force(self) -> str:
        """Return the limit that the kernel says is in force, and the version of its cgroup."""
        if self.folder is None:
            return "none"
        limit = (self.folder / self.files.limit).read_text().strip()
        mib = f"{int(limit) / 2**20:g} MiB" if limit.isdecimal() else limit
        return f"{mib} in a cgroup of version {self.files.version}"

    def used_mb(self, group: int) -> float:
        """Return the MB in use, without what can be dropped; ``group`` is the server's."""
        if self.folder is None:
            return total_mb(group)
        used = int((self.folder / self.files.used).read_text())
        return (used - self._count("memory.stat", self.files.cache)) / 1e6

    def kills(self) -> int:
        """Return how many processes the kernel has killed for want of memory."""
        return self._count(self.files.kills, "oom_kill") if self.folder else 0

    def _count(self, file: str, name: str) -> int:
        assert self.folder is not None
        for line in (self.folder / file).read_text().splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
        return 0


@contextmanager
def limited(mib: int | None) -> Iterator[MemoryLimit]:
    """Make a cgroup of ``mib`` MiB for as long as the block lasts; None is no limit."""
    found = _make(mib) if mib else MemoryLimit(None)
    try:
        yield found
    finally:
        if found.folder:
            _remove(found.folder)


def _make(mib: int) -> MemoryLimit:
    """Return a new cgroup, or no limit where none can be made."""
    name = f"carfront-{os.getpid()}"
    for parent, files in ((ROOT / "memory", V1), (_own(), V2)):
        folder = parent / name
        try:
            if files is V2:
                (parent / "cgroup.subtree_control").write_text("+memory")
            folder.mkdir()
            (folder / files.limit).write_text(str(mib * 2**20))
            return MemoryLimit(folder, files)
        except OSError:
            with suppress(OSError):
                folder.rmdir()
    return MemoryLimit(None)


def _own() -> Path:
    """Return the directory of this process's cgroup of version 2."""
    path = Path("/proc/self/cgroup").read_text().rpartition("0::/")[2].strip()
    return ROOT / path


def _remove(folder: Path, within_s: float = 10.0) -> None:
    """Remove the cgroup, once its last process is gone."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            folder.rmdir()
            return
        except OSError:
            time.sleep(0.1)
