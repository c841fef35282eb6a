"""The workers of a training on several machines, as ``TF_CONFIG`` names them.

The chief, which is the first worker, alone has the run directory: it reads the checkpoint for all,
and writes whatever is written.

Source: https://www.tensorflow.org/guide/distributed_training#TF_CONFIG
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

EXAMPLE = '{"cluster": {"worker": ["a:2222", "b:2222"]}, "task": {"type": "worker", "index": 0}}'


class ClusterError(Exception):
    """The workers cannot train together: ``TF_CONFIG`` is wrong, or their settings differ."""


@dataclass(frozen=True)
class Cluster:
    """The addresses of all workers, and which of them this process is."""

    addresses: tuple[str, ...] = ("localhost",)
    """The workers as ``host:port``, the chief first."""
    index: int = 0

    @property
    def is_chief(self) -> bool:
        """Whether this process has the run directory; a process that trains alone has it."""
        return self.index == 0

    @property
    def workers(self) -> int:
        """The number of workers."""
        return len(self.addresses)


ALONE = Cluster()
"""The cluster of a process that trains on its own machine only."""


def read_cluster(environ: Mapping[str, str]) -> Cluster:
    """Return the cluster that ``TF_CONFIG`` in ``environ`` names.

    Raises:
        ClusterError: the variable is missing or wrong; the message shows what was wanted.
    """
    text = environ.get("TF_CONFIG", "")
    if not text:
        raise _wrong("is not set")
    try:
        facts = json.loads(text)
    except ValueError as error:
        raise _wrong(f"is no JSON ({error})") from None
    try:
        jobs, task, index = facts["cluster"], facts["task"]["type"], facts["task"]["index"]
        return _cluster(jobs, task, int(index))
    except (KeyError, TypeError, ValueError) as error:
        raise _wrong(f"lacks cluster, or a task with type and index ({error!r})") from None


def _cluster(jobs: dict[str, Any], task: str, index: int) -> Cluster:
    other = sorted(set(jobs) - {"chief", "worker"})
    if other:
        raise _wrong(f"has a job {other[0]}; the jobs here are worker, and chief")
    places = [(job, n) for job in ("chief", "worker") for n in range(len(jobs.get(job, ())))]
    addresses = tuple(jobs[job][n] for job, n in places)
    if (task, index) not in places:
        raise _wrong(f"says that this is {task} {index}, which its cluster does not have")
    for address in addresses:
        if not isinstance(address, str) or not address.rpartition(":")[2].isdecimal():
            raise _wrong(f"has the address {address!r}, which is no host:port")
    if len(set(addresses)) < len(addresses):
        raise _wrong("names an address twice")
    return Cluster(addresses, places.index((task, index)))


def _wrong(what: str) -> ClusterError:
    return ClusterError(
        f"TF_CONFIG {what}; --strategy multi-worker wants all workers in it, e.g. {EXAMPLE}"
    )
