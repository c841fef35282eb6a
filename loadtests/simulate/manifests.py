"""The autoscalers that ``k8s/`` ships, as they are simulated: their signals, targets and bounds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml

from loadtests.serving import ROOT
from loadtests.simulate.autoscaler import Autoscaler, Rules
from loadtests.simulate.signals import (
    CapacityUsed,
    Cpu,
    PodsCapacityUsed,
    PodsQueueDelay,
    QueueDelay,
    Signal,
)

K8S = ROOT / "k8s"
HPA = K8S / "base/hpa.yaml"
KEDA = K8S / "components/keda/scaledobject.yaml"
ADAPTER = K8S / "components/prometheus-adapter/hpa.yaml"
OF_PODS: dict[str, Callable[[float], Signal]] = {
    "carfront_capacity_used_ratio": PodsCapacityUsed,
    "carfront_queue_delay_p99_seconds": PodsQueueDelay,
}
OF_TRIGGERS: dict[str, Callable[[float], Signal]] = {
    "capacity": CapacityUsed,
    "queue-delay": QueueDelay,
}


@dataclass(frozen=True)
class Shipped:
    """An autoscaler: its signals, its bounds and how fast it follows."""

    signals: tuple[Signal, ...]
    least: int
    most: int
    up: Rules
    down: Rules

    def autoscaler(self) -> Autoscaler:
        """Return an autoscaler that remembers nothing yet."""
        return Autoscaler(self.least, self.most, self.up, self.down)


def shipped() -> dict[str, Shipped]:
    """Return the autoscalers of ``k8s/``, by the names of their folders."""
    base = yaml.safe_load(HPA.read_text())["spec"]
    adapter = yaml.safe_load(ADAPTER.read_text())["spec"]
    keda = yaml.safe_load(KEDA.read_text())["spec"]
    behavior = keda["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    triggers = tuple(
        OF_TRIGGERS[each["name"]](float(each["metadata"]["threshold"])) for each in keda["triggers"]
    )
    bounds = base["minReplicas"], base["maxReplicas"]
    return {
        "base": _shipped(_signals(base), *bounds, base["behavior"]),
        "prometheus-adapter": _shipped(_signals(adapter), *bounds, base["behavior"]),
        "keda": _shipped(triggers, keda["minReplicaCount"], keda["maxReplicaCount"], behavior),
    }


def _shipped(
    signals: tuple[Signal, ...], least: int, most: int, behavior: dict[str, Any]
) -> Shipped:
    up, down = Rules.of(behavior["scaleUp"]), Rules.of(behavior["scaleDown"])
    return Shipped(signals, least, most, up, down)


def _signals(spec: dict[str, Any]) -> tuple[Signal, ...]:
    """Return the signals of a HorizontalPodAutoscaler."""
    return tuple(_signal(metric) for metric in spec["metrics"])


def _signal(metric: dict[str, Any]) -> Signal:
    if metric["type"] == "Resource":
        return Cpu(metric["resource"]["target"]["averageUtilization"] / 100)
    pods = metric["pods"]
    return OF_PODS[pods["metric"]["name"]](_quantity(pods["target"]["averageValue"]))


def _quantity(text: str) -> float:
    """Return Kubernetes' ``700m`` as 0.7."""
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text)
