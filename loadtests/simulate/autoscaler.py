"""Kubernetes' HorizontalPodAutoscaler: what its metrics ask for, and how fast that is followed.

Pure policy: the time is passed in. ``resource``, ``pods`` and ``external`` return the replicas that
one metric asks for, None where the metric cannot be had. ``Autoscaler`` joins them, holds them
still and limits their steps, as the manifest's ``behavior`` says.
Source: Kubernetes' documentation of horizontal pod autoscaling, and of the API autoscaling/v2.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SYNC_S = 15.0
"""The seconds between two looks at the metrics, as the controller has them by default."""
TOLERANCE = 0.1
"""The part by which a metric may miss its target without any change, by default."""
ROUNDING = 1e-9


@dataclass(frozen=True)
class PodMetric:
    """The metric of one pod, None where it has none."""

    value: float | None
    is_ready: bool = True
    """False for a pod that starts, or whose metric is from before it was ready."""


def resource(pods: Sequence[PodMetric], target: float, current: int) -> int | None:
    """Return the replicas that a utilization asks for, of the pods' requests, 1.0 for all of it.

    Where fewer replicas would do, a pod without a metric counts as one that uses its request.
    """
    return _averaged(pods, target, current, missing=max(1.0, target))


def pods(pods: Sequence[PodMetric], target: float, current: int) -> int | None:
    """Return the replicas that an average over the pods asks for."""
    return _averaged(pods, target, current, missing=target)


def external(value: float | None, target: float, current: int) -> int | None:
    """Return the replicas that a number for all pods asks for, ``target`` of it for each."""
    if value is None:
        return None
    if not current or abs(1 - value / (target * current)) > TOLERANCE:
        return math.ceil(value / target - ROUNDING)
    return current


def _averaged(pods: Sequence[PodMetric], target: float, current: int, missing: float) -> int | None:
    """Return the replicas for an average; ``missing`` stands for a missing metric in a scale-down.

    Pods that are not ready, or without a metric, count as idle where more replicas are asked for:
    they will take their part soon.
    """
    known = [pod.value for pod in pods if pod.is_ready and pod.value is not None]
    unready = sum(not pod.is_ready for pod in pods)
    unknown = len(pods) - unready - len(known)
    if not known:
        return None
    ratio = sum(known) / len(known) / target
    if not unknown and not (unready and ratio > 1):
        return current if abs(1 - ratio) <= TOLERANCE else math.ceil(ratio * len(known) - ROUNDING)
    values = known + [missing if ratio < 1 else 0.0] * unknown
    values += [0.0] * (unready if ratio > 1 else 0)
    again = sum(values) / len(values) / target
    if abs(1 - again) <= TOLERANCE or (ratio < 1) != (again < 1):
        return current
    wanted = math.ceil(again * len(values) - ROUNDING)
    return current if (again < 1) == (wanted > current) else wanted


@dataclass(frozen=True)
class Step:
    """One policy of a direction: at most so many pods, or percent of them, within a period."""

    kind: str
    value: int
    period_s: float


@dataclass(frozen=True)
class Rules:
    """How replicas may change in one direction."""

    window_s: float
    """The seconds for which the most careful recommendation counts."""
    steps: tuple[Step, ...]

    @classmethod
    def of(cls, rules: dict[str, Any]) -> "Rules":
        """Return the rules of ``scaleUp`` or ``scaleDown`` in a manifest."""
        steps = (Step(x["type"], x["value"], x["periodSeconds"]) for x in rules["policies"])
        return cls(rules["stabilizationWindowSeconds"], tuple(steps))


class Autoscaler:
    """The autoscaler of one Deployment, between ``least`` and ``most`` replicas."""

    def __init__(self, least: int, most: int, up: Rules, down: Rules) -> None:
        self._least, self._most = least, most
        self._up, self._down = up, down
        self._recommended: list[tuple[float, int]] = []
        """What the metrics asked for lately, with the time."""
        self._changes: list[tuple[float, int]] = []
        """By how many replicas the number was changed lately, with the time."""

    def replicas(self, now: float, current: int, proposals: Sequence[int | None]) -> int:
        """Return the number of replicas from ``now`` on, and remember it.

        The largest of the ``proposals`` counts. While one of them cannot be had, there is no
        scale-down.
        """
        known = [proposal for proposal in proposals if proposal is not None]
        wanted = max(known, default=current)
        if len(known) < len(proposals):
            wanted = max(wanted, current)
        wanted = min(self._most, max(self._least, wanted))
        wanted = self._limited(now, current, self._held_still(now, current, wanted))
        if wanted != current:
            self._changes.append((now, wanted - current))
        return wanted

    def _held_still(self, now: float, current: int, wanted: int) -> int:
        """Return what the recommendations of both windows agree on."""
        longest = max(self._up.window_s, self._down.window_s)
        self._recommended = [x for x in self._recommended if x[0] > now - longest]
        self._recommended.append((now, wanted))
        up = min([n for at, n in self._recommended if at > now - self._up.window_s] + [wanted])
        down = max([n for at, n in self._recommended if at > now - self._down.window_s] + [wanted])
        return min(max(current, up), down)

    def _limited(self, now: float, current: int, wanted: int) -> int:
        """Return ``wanted``, or as near to it as the steps of the last periods allow."""
        if wanted > current:
            most = max(self._after(now, current, step, 1) for step in self._up.steps)
            return min(wanted, max(current, most))
        least = min(self._after(now, current, step, -1) for step in self._down.steps)
        return max(wanted, min(current, least))

    def _after(self, now: float, current: int, step: Step, sign: int) -> int:
        """Return the furthest number that ``step`` allows, up or down."""
        recent = sum(by for at, by in self._changes if at > now - step.period_s)
        began = current - recent
        if step.kind == "Pods":
            return began + sign * step.value
        far = began * (1 + sign * step.value / 100)
        return math.ceil(far - ROUNDING) if sign > 0 else math.floor(far + ROUNDING)
