"""The processors of this process and of its threads, and quotas as cgroups write them down."""

import os
import platform
import threading

import pytest

from server import cpus
from server.cpus import WakeUps, cpu_quota

V1 = "4:cpuset:/{path}\n2:cpu,cpuacct:/{path}\n0::/elsewhere\n"
V2 = "0::/{path}\n"


def v1(folder, quota, period=100_000):
    """The files of a cgroup of version 1; a quota of -1 is none."""
    at = f"cpu/{folder}".rstrip("/")
    return {f"{at}/cpu.cfs_quota_us": f"{quota}\n", f"{at}/cpu.cfs_period_us": f"{period}\n"}


def v2(folder, quota, period=100_000):
    """The files of a cgroup of version 2; a quota "max" is none."""
    return {f"{folder}/cpu.max".lstrip("/"): f"{quota} {period}\n"}


@pytest.mark.parametrize(
    ("cgroups", "files", "quota"),
    [
        (V2.format(path=""), v2("", 150_000), 1.5),
        (V2.format(path=""), v2("", "max"), None),
        (V2.format(path="system.slice/cars.service"), {}, None),
        (V2.format(path="system.slice/cars.service"), v2("system.slice/cars.service", 50_000), 0.5),
        (V2.format(path="a/b"), v2("a", 300_000) | v2("a/b", "max"), 3.0),
        (V2.format(path="a/b"), v2("a", 300_000) | v2("a/b", 400_000), 3.0),
        (V2.format(path="a/b"), v2("a", 300_000, 50_000) | v2("a/b", 400_000), 4.0),
        (V2.format(path="a/b"), v2("other", 100_000), None),
        (V2.format(path="of/the/host"), v2("", 200_000), 2.0),
        (V2.format(path="../.."), v2("", 200_000), 2.0),
        (V2.format(path="cars:1"), v2("cars:1", 200_000), 2.0),
        (V1.format(path=""), v1("", 400_000), 4.0),
        (V1.format(path=""), v1("", -1), None),
        (V1.format(path="docker/0a1b"), v1("", 400_000), 4.0),
        (V1.format(path="a/b"), v1("", -1) | v1("a", 200_000) | v1("a/b", -1), 2.0),
        (V1.format(path="a/b"), v1("", -1) | v1("a", 200_000) | v1("a/b", 150_000), 1.5),
        (V1.format(path="a") + V2.format(path="b"), v2("unified/b", 100_000), 1.0),
        ("3:cpuset:/a\n", v1("a", 100_000), None),
        ("2:cpu,cpuacct:/\n", {"cpu,cpuacct/cpu.cfs_quota_us": "-1"}, None),
        ("", v2("", 100_000), None),
    ],
)
def test_smallest_quota_on_the_way_up_counts(tmp_path, cgroups, files, quota):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cpu_quota(cgroups, tmp_path) == quota


def test_processors_are_those_of_affinity_and_quota_together(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8))
    monkeypatch.setattr(cpus, "HIERARCHIES", tmp_path)
    monkeypatch.setattr(cpus, "CGROUPS", tmp_path / "cgroups")
    assert cpus.available_cpus() == 8
    (tmp_path / "cgroups").write_text(V2.format(path="cars.slice/one.service"))
    (tmp_path / "cars.slice").mkdir()
    for limit, wanted in ((250_000, 2), (50_000, 1), (900_000, 8)):
        (tmp_path / "cars.slice" / "cpu.max").write_text(f"{limit} 100000\n")
        assert cpus.available_cpus() == wanted


def test_patient_thread_is_scheduled_as_a_batch_job_and_the_others_as_before():
    before, policies = os.sched_getscheduler(0), []

    def work():
        wake_ups = WakeUps()
        for patient in (True, True, False, True):
            wake_ups.be_patient(patient)
            policies.append(os.sched_getscheduler(0))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert policies == [os.SCHED_BATCH, os.SCHED_BATCH, os.SCHED_OTHER, os.SCHED_BATCH]
    assert os.sched_getscheduler(0) == before


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("flags\t\t: fpu smep avx2 sse2 fma amx_bf16 pni ssse3\n", "amx_bf16 avx2 fma sse2 ssse3"),
        ("Features\t: fp asimd sve2 crc32 i8mm sme\n", "asimd i8mm sme sve2"),
        ("model name\t: a car\n", ""),
        (None, ""),
    ],
    ids=["x86", "Arm", "unknown", "no file"],
)
def test_kind_of_processor_is_its_vector_instructions(tmp_path, monkeypatch, text, names):
    monkeypatch.setattr(cpus, "PROCESSORS", tmp_path / "cpuinfo")
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text * 2)
    assert cpus.vector_instructions() == f"{platform.machine()} {names}".rstrip()
