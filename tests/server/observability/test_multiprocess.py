"""The files of processes that are named by their slots, as prometheus_client reads them."""

import pytest
from prometheus_client import Gauge, generate_latest, multiprocess
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.parser import text_string_to_metric_families

from server.observability import metrics
from server.observability.multiprocess import AllProcesses


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


def buckets(*values, le=("1.0", "2.0", "+Inf")):
    """Return the series of a histogram with so many observations in each bucket."""
    series = {("h_bucket", ("le", x)): v for x, v in zip(le, values, strict=True)}
    return {("h_sum",): sum(values), **series}


def told(folder):
    """Return the value of each series as Prometheus reads it."""
    text = generate_latest(AllProcesses(folder)).decode()
    samples = [x for family in text_string_to_metric_families(text) for x in family.samples]
    by_series = {(x.name, *sorted(x.labels.items())): x.value for x in samples}
    assert len(by_series) == len(samples)
    return by_series


def test_processes_add_up_whatever_their_slots_are_called(write, tmp_path):
    for slot, amount in (("http-0", 1.0), ("engine-0", 2.0), ("engine-0.1", 4.0)):
        write(f"counter_{slot}", "c", {("c_total", ("by", 'a"b\n')): amount})
        write(f"gauge_livesum_{slot}", "waiting", {("waiting",): amount})
        write(f"gauge_livemax_{slot}", "info", {("info", ("model", "a")): -amount})
        write(f"histogram_{slot}", "h", buckets(amount, 0.0, 1.0))
    assert told(tmp_path) == {
        ("c_total", ("by", 'a"b\n')): 7,
        ("waiting",): 7,
        ("info", ("model", "a")): -1,
        ("h_sum",): 7 + 3,
        ("h_bucket", ("le", "1.0")): 7,
        ("h_bucket", ("le", "2.0")): 7,
        ("h_bucket", ("le", "+Inf")): 7 + 3,
        ("h_count",): 7 + 3,
    }


def test_releases_with_other_buckets_and_other_words_add_up(write, tmp_path):
    write("histogram_http-0", "h", buckets(1, 2, 3))
    write("histogram_http-1", "h", buckets(10, 20, 30, le=("1.0", "1.5", "+Inf")), "other words")
    counts = {series[1][1]: v for series, v in told(tmp_path).items() if len(series) == 2}
    assert counts == {"1.0": 11, "1.5": 31, "2.0": 33, "+Inf": 66}


def test_file_that_was_made_just_now_and_is_empty_counts_nothing(write, tmp_path):
    write("counter_http-0", "c", {("c_total",): 1.0})
    (tmp_path / "counter_http-1.db").touch()
    (tmp_path / "gauge_livesum_http-1.db").touch()
    assert told(tmp_path) == {("c_total",): 1}


GAUGES = [metric for metric in vars(metrics).values() if isinstance(metric, Gauge)]


@pytest.mark.parametrize("gauge", GAUGES, ids=lambda gauge: gauge._name)
def test_gauges_of_a_process_that_starts_are_removed_while_they_are_read(
    write, tmp_path, monkeypatch, gauge
):
    """A process that starts removes what one before it said; the scrape has the file's name."""
    file = tmp_path / f"gauge_{gauge._multiprocess_mode}_engine-0.db"
    write(file.stem, gauge._name, {(gauge._name,): 5.0})
    write("counter_http-0", "c", {("c_total",): 1.0})
    read = multiprocess.MmapedDict.read_all_values_from_file

    def remove_and_read(name):
        file.unlink(missing_ok=True)
        return read(name)

    monkeypatch.setattr(
        multiprocess.MmapedDict, "read_all_values_from_file", staticmethod(remove_and_read)
    )
    files = [str(file), str(tmp_path / "counter_http-0.db")]
    monkeypatch.setattr(AllProcesses, "_written", lambda self: files)
    assert told(tmp_path) == {("c_total",): 1}
