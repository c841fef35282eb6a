"""What a cluster tells Prometheus of pods, and a replica of its GPUs, as on a real one.

Source: kube-state-metrics, docs/metrics/workload; cAdvisor, docs/storage/prometheus.md. A kubelet
has cAdvisor's metrics below ``/metrics/cadvisor``, those of a pod's control group among them, which
have no name of a container. Only who has a CPU limit has periods.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from prometheus_client import generate_latest

from server.observability.gpus import Gpus
from tests.server.observability.test_gpus import FakeNvml

FIRST, SECOND = "carfront-7d9c5b6f4-x2x9z", "carfront-7d9c5b6f4-k8d4m"
CANARY, OTHER = "carfront-canary-5c8f7-q7x2p", "web-6f9d8-abcde"


@dataclass
class Cluster:
    """Two pods of ``carfront`` in the namespace ``cars``, the second beside a proxy, and others."""

    address: str = ""
    restarts: int = 5
    """How often the first pod's server was started again."""
    began: float = field(default_factory=time.monotonic)

    def state(self) -> str:
        """Return what kube-state-metrics tells."""
        deployments = [
            {"namespace": "cars", "deployment": "carfront"},
            {"namespace": "cars", "deployment": "carfront-canary"},
            {"namespace": "shop", "deployment": "carfront"},
        ]
        containers = [("cars", FIRST, "server"), ("cars", SECOND, "istio-proxy"),
                      ("cars", CANARY, "server"), ("shop", OTHER, "server"),
                      ("cars", SECOND, "server")]  # fmt: skip
        pods = [
            {"namespace": namespace, "pod": pod, "uid": "1a2b", "container": container}
            for namespace, pod, container in containers
        ]
        restarts = [*[self.restarts] * 4, 0]
        return (
            family("kube_deployment_spec_replicas", "gauge", deployments, [3, 1, 7])
            + family("kube_deployment_status_replicas_ready", "gauge", deployments, [2, 1, 7])
            + family("kube_pod_container_status_restarts_total", "counter", pods, restarts)
        )

    def throttling(self) -> str:
        """Return what a kubelet tells: of ten periods a second the first server waited in three."""
        seconds = time.monotonic() - self.began
        containers = [(FIRST, "server"), (FIRST, ""), (SECOND, "istio-proxy"), (CANARY, "server")]
        labels = [
            {"container": container, "id": f"/kubepods.slice/{pod}", "image": "carfront:cpu",
             "name": container and "0a1b", "namespace": "cars", "pod": pod}
            for pod, container in containers
        ]  # fmt: skip
        periods, throttled = [10 * seconds] * 4, [count * seconds for count in (3, 9, 9, 9)]
        return family("container_cpu_cfs_periods_total", "counter", labels, periods) + family(
            "container_cpu_cfs_throttled_periods_total", "counter", labels, throttled
        )


def family(
    name: str, kind: str, labels: Sequence[Mapping[str, str]], values: Sequence[float]
) -> str:
    """Return the series of one name in Prometheus's text format."""
    lines = [f"# TYPE {name} {kind}"]
    for each, value in zip(labels, values, strict=True):
        told = ",".join(f'{label}="{text}"' for label, text in each.items())
        lines.append(f"{name}{{{told}}} {value}")
    return "\n".join(lines) + "\n"


def gpus() -> str:
    """Return what a replica tells of its two GPUs."""
    return generate_latest(Gpus(FakeNvml())).decode()


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Serve a cluster's metrics on a port of this machine."""
    found = Cluster()
    texts = {"/state": found.state, "/metrics/cadvisor": found.throttling, "/metrics": gpus}
    server = ThreadingHTTPServer(("127.0.0.1", 0), _answering(texts))
    found.address = f"127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _answering(texts: dict[str, Callable[[], str]]) -> type[BaseHTTPRequestHandler]:
    """Return a handler that answers with what is told at each path."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = texts[self.path]().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing of each scrape."""

    return Handler
