"""The processors that this process may use, and the policy by which it is scheduled on them."""

import os
from contextlib import suppress
from pathlib import Path


def available_cpus() -> int:
    """Return the number of processors that affinity and cgroup quota leave to this process."""
    cpus = len(os.sched_getaffinity(0))
    quota = cpu_quota(Path("/sys/fs/cgroup"))
    return cpus if quota is None else max(1, min(cpus, int(quota)))


def cpu_quota(cgroup: Path) -> float | None:
    """Return the quota of ``cgroup``, a directory, in processors; None without a limit."""
    for files in (["cpu.max"], ["cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"]):  # v2, v1
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
