"""What ``k8s/`` ships is what the simulation recommends."""

import json

import pytest

from loadtests.simulate import recommend, report, traffic
from loadtests.simulate.curve import SLO_S, curve_of
from loadtests.simulate.manifests import shipped
from loadtests.simulate.recommend import Candidate, keeps, recommended
from loadtests.simulate.signals import BOUNDS
from server.observability.metrics import QUEUE_DELAY_SECONDS
from server.observability.metrics import SLO_S as SERVED_SLO_S
from tests.k8s.rendering import K8S

SAVED = json.loads((report.RESULTS / "autoscaling.json").read_text())


def of(signals, steps, day, hours, spike=0.0):
    loads = {
        "steps": {"late": steps},
        "spike": {"late": spike},
        "day": {"late": day, "replica_hours": hours},
    }
    return {"of": "base", "signals": signals, "outcomes": {"processor": loads}}


def test_cheapest_of_those_that_keep_the_objective_is_recommended():
    rows = [of("dear", 0, 0, 9), of("late", 0.02, 0, 1), of("best", 0.01, 0, 5)]
    assert recommended(rows, "base", "dear") == "best"
    assert recommended(rows, "base", "late") == "best"


def test_nothing_is_recommended_where_the_objective_is_missed():
    assert recommended([of("steps", 0.02, 0, 1)], "base", "steps") == ""
    assert recommended([of("day", 0, 0.02, 1)], "base", "day") == ""
    assert recommended([of("spike", 0, 0, 1, spike=0.07)], "base", "spike") == ""


def test_what_is_shipped_stays_unless_another_is_clearly_cheaper():
    rows = [of("shipped", 0, 0, 100), of("other", 0, 0, 96)]
    assert recommended(rows, "base", "shipped") == "shipped"
    assert recommended([*rows, of("cheaper", 0, 0, 94)], "base", "shipped") == "cheaper"


def test_shipped_signals_and_targets_are_the_recommended_ones():
    assert report.faults(SAVED) == []


def test_saved_rows_recommend_what_is_saved_as_recommended():
    assert report.recommended(SAVED["rows"]) == SAVED["recommended"]


@pytest.mark.parametrize("name", ["base", "keda", "prometheus-adapter"])
def test_shipped_autoscaler_does_as_the_saved_row_says(name):
    """The simulation is the same each time: another queue, behavior or metric shows here."""
    scaler = shipped()[name]
    (bench,) = report.BENCHES[-1:]
    curves = {bench: curve_of(report.facts_of(bench))}
    found = recommend.row(Candidate(name, scaler.signals), curves, [traffic.STEPS, traffic.SPIKE])
    (saved,) = [x for x in SAVED["rows"] if (x["of"], x["signals"]) == (name, found["signals"])]
    assert keeps(saved)
    assert found["outcomes"][bench].items() <= saved["outcomes"][bench].items()


def test_simulated_metrics_are_those_of_the_server_and_the_queries():
    assert list(BOUNDS) == QUEUE_DELAY_SECONDS._upper_bounds[:-1]
    assert SLO_S == SERVED_SLO_S
    queries = (K8S / "components/keda/scaledobject.yaml").read_text()
    adapter = (K8S / "components/prometheus-adapter/adapter-values.yaml").read_text()
    for text in (queries, adapter):
        assert "rate(carfront_images_total{" in text
        assert text.count("[1m]") == 2
        assert "histogram_quantile(0.99" in text
