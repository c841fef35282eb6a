"""The panels of pods and GPUs show what a cluster tells, through a real Prometheus."""

from collections.abc import Iterator

import pytest

from tests.k8s.cluster import FIRST, SECOND, Cluster, cluster
from tests.k8s.prometheus import Prometheus, Samples, watching
from tests.k8s.test_dashboard import PANELS
from tests.k8s.watched import ELSEWHERE
from tests.servers import until

RESTARTS = 2
ANOTHER_POD = {"namespace": "monitoring", "service": "kubelet", "endpoint": "http-metrics"}
"""What Prometheus's operator says of a target beside its instance: here of no replica of ours."""
REPLICA = {"pod": FIRST, "service": "carfront", "endpoint": "http", "container": "server"}
SHOWN: dict[str, list[Samples]] = {
    "Replicas wanted and ready": [{("carfront", "cars"): 3}, {("carfront", "cars"): 2}],
    "Pod restarts": [{("cars", FIRST): RESTARTS, ("cars", SECOND): 0}],
    "CPU throttling": [{("cars", FIRST): 0.3}],
    "GPU utilisation": [{("0", "a", "cars"): 0.87, ("1", "a", "cars"): 0}],
    "GPU memory": [
        {("0", "a", "cars"): 40 * 2**30, ("1", "a", "cars"): 20 * 2**30},
        {("0", "a", "cars"): 80 * 2**30, ("1", "a", "cars"): 40 * 2**30},
    ],
}
"""What each query of a panel shall show, by the values of its labels in the labels' order."""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster() as found:
        yield found


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory, told: Cluster) -> Iterator[Prometheus]:
    """A Prometheus that scrapes the cluster, in which a pod restarts."""
    with watching(tmp_path_factory.mktemp("prometheus")) as found:
        found.scrape({"state": told.address}, "kube-state-metrics", ANOTHER_POD)
        found.scrape({"node-1": told.address}, "kubelet", ANOTHER_POD)
        found.scrape({"a": told.address}, "carfront", REPLICA)
        until(lambda: set(panel(found, "Pod restarts", 0).values()) == {0})
        told.restarts += RESTARTS
        yield found


def panel(prometheus: Prometheus, title: str, query: int) -> Samples:
    """Return what a query of a panel is worth, where one instance of one namespace is chosen."""
    (found,) = [panel for panel in PANELS if panel["title"] == title]
    expression = found["targets"][query]["expr"]
    return prometheus.ask(expression, job="carfront", namespace="cars")


def test_every_panel_of_what_this_machine_has_not_is_fed():
    assert SHOWN.keys() == set(ELSEWHERE)


@pytest.mark.parametrize("title", SHOWN)
def test_a_panel_shows_what_the_cluster_tells(title: str, prometheus: Prometheus):
    queries = next(len(panel["targets"]) for panel in PANELS if panel["title"] == title)
    assert queries == len(SHOWN[title])
    for query, wanted in enumerate(SHOWN[title]):
        digits = 0 if title == "Pod restarts" else 3  # between two scrapes Prometheus goes on
        until(
            lambda query=query, wanted=wanted, digits=digits: (
                wanted
                == {
                    key: round(value, digits)
                    for key, value in panel(prometheus, title, query).items()
                }
            )
        )
