"""The files of processes that are named by their slots, as prometheus_client reads them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import Gauge, generate_latest, multiprocess
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.parser import text_string_to_metric_families

from server.observability import metrics
from server.observability.multiprocess import FILE_BYTES, AllProcesses
from tests.full_disk import fill, needs_mount, small_disk

ROOT = Path(__file__).parents[3]


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


PROGRAM = """if True:
    import pathlib, sys
    from server.observability import metrics
    for number in range(int(sys.argv[1])):
        metrics.DROPPED.labels(f"{number:01000}").inc()
        if number == int(sys.argv[2]):
            print("full", flush=True)
            input()
    print(metrics.DROPPED.labels(f"{number:01000}")._value.get())
"""


def counting(folder, series, full_at=-1):
    """Start a process that counts ``series`` long series, and waits after one of them."""
    env = {
        **os.environ,
        "PROMETHEUS_MULTIPROC_DIR": str(folder),
        "PROMETHEUS_MULTIPROC_SLOT": "http-0",
    }
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(series), str(full_at)],
        cwd=ROOT,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def check_ended_well(process):
    """Check that all was counted, and that the log says once that it is not all told."""
    output, log = process.communicate("\n")
    assert process.returncode == 0, log  # -7 is SIGBUS
    assert output.endswith("1.0\n")
    assert log.count("not all that http-0 counts is in the metrics") == 1
    assert len(log.splitlines()) == 1


@needs_mount
def test_process_that_starts_on_a_full_disk_counts_on(tmp_path):
    with small_disk(tmp_path / "disk", kib=64) as disk:
        (disk / "metrics").mkdir()
        fill(disk)
        check_ended_well(counting(disk / "metrics", 3))
        assert told(disk / "metrics") == {}


@needs_mount
def test_process_counts_on_when_the_disk_is_full_after_its_start(tmp_path):
    """What is written to is reserved, whether a page was touched before or not."""
    with small_disk(tmp_path / "disk", kib=1024) as disk:
        (disk / "metrics").mkdir()
        with counting(disk / "metrics", 200, full_at=2) as process:
            assert process.stdout.readline() == "full\n"
            fill(disk)
            check_ended_well(process)
        kept = [series for series in told(disk / "metrics") if series[0].endswith("dropped_total")]
        assert 50 < len(kept) <= FILE_BYTES / 1000


def test_process_whose_folder_was_removed_makes_it_anew(tmp_path):
    with counting(tmp_path / "metrics", 3) as process:
        _, log = process.communicate()
    assert (process.returncode, log) == (0, "")
    assert len(told(tmp_path / "metrics")) >= 3


def test_process_whose_folder_is_a_file_counts_on(tmp_path):
    (tmp_path / "metrics").touch()
    check_ended_well(counting(tmp_path / "metrics", 3))


def test_folder_that_is_removed_while_it_is_read_has_nothing_to_tell(write, tmp_path, monkeypatch):
    write("counter_http-0", "c", {("c_total",): 1.0})
    read = multiprocess.MmapedDict.read_all_values_from_file

    def remove_and_read(name):
        (tmp_path / "counter_http-0.db").unlink()
        return read(name)

    monkeypatch.setattr(
        multiprocess.MmapedDict, "read_all_values_from_file", staticmethod(remove_and_read)
    )
    assert told(tmp_path) == {}
