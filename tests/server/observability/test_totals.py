"""What every process counted adds up to what prometheus_client says."""

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.parser import text_string_to_metric_families

from server.observability.totals import Totals


@pytest.fixture
def write(tmp_path):
    """Return a function that writes the file of a kind and slot as prometheus_client does."""

    def write(file, family, values, help_text="help"):
        """``values`` are those of the series by their names and labels."""
        held = MmapedDict(str(tmp_path / f"{file}.db"))
        for (name, *labels), value in values.items():
            names, texts = [x for x, _ in labels], [x for _, x in labels]
            held.write_value(mmap_key(family, name, names, texts, help_text), value, 0.0)
        held.close()

    return write


def buckets(*values, route="/", le=("1.0", "2.0", "+Inf")):
    """Return the series of a histogram with so many observations in each bucket."""
    labels = ("route", route)
    series = {("h_bucket", labels, ("le", x)): v for x, v in zip(le, values, strict=True)}
    return {("h_sum", labels): sum(values), **series}


def told(collector):
    """Return the value of each series as Prometheus reads it, and how many there are."""
    families = text_string_to_metric_families(generate_latest(collector).decode())
    samples = [sample for family in families for sample in family.samples]
    by_series = {(x.name, *sorted(x.labels.items())): x.value for x in samples}
    assert len(by_series) == len(samples)
    return by_series


def test_totals_are_those_of_prometheus_clients_own_collector(write, tmp_path):
    for slot, amount in (("http-0", 1.0), ("http-1", 2.0), ("engine-0.1", 4.0)):
        write(f"counter_{slot}", "c", {("c_total", ("by", 'a"b\n')): amount, ("c_total",): 1.0})
        write(f"gauge_sum_{slot}", "waiting", {("waiting",): amount})
        write(f"gauge_max_{slot}", "info", {("info", ("model", slot)): 1.0, ("info",): -amount})
        write(f"histogram_{slot}", "h", buckets(amount, 0.0, 1.0))
    write("histogram_http-2", "h", buckets(1.0, 5.0, 0.0, route="/é"))
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(tmp_path))
    totals = told(Totals(tmp_path))
    assert totals == told(registry)
    assert totals["h_count", ("route", "/")] == 7 + 3
    assert totals["info",] == -1


def test_totals_of_releases_with_other_buckets_and_other_words_add_up(write, tmp_path):
    write("histogram_http-0", "h", buckets(1, 2, 3))
    write("histogram_http-1", "h", buckets(10, 20, 30, le=("1.0", "1.5", "+Inf")), "other words")
    counts = {series[1][1]: v for series, v in told(Totals(tmp_path)).items() if len(series) == 3}
    assert counts == {"1.0": 11, "1.5": 31, "2.0": 33, "+Inf": 66}
