"""The processors that this process may use, and the policy by which it is scheduled on them."""

import os
import platform
import re
from contextlib import suppress
from pathlib import Path

CGROUPS = Path("/proc/self/cgroup")
"""The file with the cgroups of this process. Source: cgroups(7)."""
HIERARCHIES = Path("/sys/fs/cgroup")
"""The directory in which the hierarchies of cgroups are mounted."""

PROCESSORS = Path("/proc/cpuinfo")
"""The file with what the kernel knows of the processors. Source: proc_cpuinfo(5)."""
FLAGS = re.compile(r"^(?:flags|Features)\s*:(.*)$", re.MULTILINE)
VECTORS = re.compile(r"amx|asimd|avx|bf16|fma|i8mm|s?sse|sme(?!p)|sve").match
"""How the names of vector instructions begin, on x86 and on Arm. There, smep is none."""


def vector_instructions() -> str:
    """Return the kind of processor that this is: its vector instructions, which decide how sums are
    rounded."""
    text = PROCESSORS.read_text() if PROCESSORS.exists() else ""
    flags = FLAGS.search(text)
    names = flags[1].split() if flags else []
    return " ".join([platform.machine(), *sorted(x for x in names if VECTORS(x))])


def available_cpus() -> int:
    """Return the number of processors that affinity and cgroup quota leave to this process."""
    cpus = len(os.sched_getaffinity(0))
    try:
        quota = cpu_quota(CGROUPS.read_text(), HIERARCHIES)
    except OSError:
        return cpus
    return cpus if quota is None else max(1, min(cpus, int(quota)))


def cpu_quota(cgroups: str, hierarchies: Path) -> float | None:
    """Return the smallest quota of a process's cgroup and those above it, in processors.

    ``cgroups`` is what ``/proc/PID/cgroup`` says. In a cgroup namespace the path there is ``/``. In
    a container without one it is the host's path, which ``hierarchies`` does not have: the
    container's own cgroup is mounted at the top. None means that there is no limit.
    """
    quotas = []
    for line in cgroups.splitlines():
        _, controllers, path = line.split(":", 2)
        for top in _mounts(controllers, hierarchies):
            quotas += [_own_quota(cgroup) for cgroup in _way_up(top, path)]
    return min((quota for quota in quotas if quota is not None), default=None)


def _mounts(controllers: str, hierarchies: Path) -> list[Path]:
    """Return where a hierarchy that may have the quota is mounted."""
    if not controllers:  # version 2
        return [hierarchies, hierarchies / "unified"]
    of_cpu = "cpu" in controllers.split(",")
    return [hierarchies / "cpu", hierarchies / controllers] if of_cpu else []


def _way_up(top: Path, path: str) -> list[Path]:
    """Return the cgroup at ``path`` below ``top``, and those above it."""
    if ".." in path.split("/"):  # the process is outside of its cgroup namespace
        return [top]
    cgroup = Path(path.strip("/"))
    return [top / each for each in (cgroup, *cgroup.parents)]


def _own_quota(cgroup: Path) -> float | None:
    for files in (["cpu.max"], ["cpu.cfs_quota_us", "cpu.cfs_period_us"]):  # v2, v1
        try:
            quota, period = " ".join((cgroup / file).read_text() for file in files).split()
        except (OSError, ValueError):
            continue
        return None if quota in ("max", "-1") else int(quota) / int(period)
    return None


class WakeUps:
    """Whether a thread that wakes may interrupt the thread that runs on its processor.

    A patient thread waits for its turn. A patient engine finds more requests waiting, and a patient
    HTTP worker more requests and answers: batches are larger, and inference is interrupted less (6
    and 4 % more single images, with the callers on the same two cores). Where one caller is alone,
    patience is latency: each step of its request waits for whatever else the machine does.

    The object belongs to the thread that calls it; threads that this thread starts begin as it is.
    """

    def __init__(self) -> None:
        self._patient = False

    def be_patient(self, patient: bool) -> None:
        """Have this thread wait for its turn from now on, or not."""
        if patient is self._patient or not hasattr(os, "SCHED_BATCH"):
            return
        self._patient = patient
        policy = os.SCHED_BATCH if patient else os.SCHED_OTHER
        with suppress(OSError):  # a sandbox may forbid it
            os.sched_setscheduler(0, policy, os.sched_param(0))
