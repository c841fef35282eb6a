"""TF_CONFIG says which worker this is; a wrong one is refused, and a right one shown."""

import json

import pytest

from training.__main__ import main
from training.cluster import EXAMPLE, Cluster, ClusterError, read_cluster


def config(cluster, task, index):
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": task, "index": index}})}


def test_first_worker_is_the_chief():
    workers = {"worker": ["a:1", "b:1"]}
    assert read_cluster(config(workers, "worker", 0)) == Cluster(("a:1", "b:1"), 0)
    assert read_cluster(config(workers, "worker", 0)).is_chief
    assert not read_cluster(config(workers, "worker", "1")).is_chief
    assert read_cluster({"TF_CONFIG": EXAMPLE}).workers == 2


def test_job_called_chief_comes_before_the_workers():
    both = {"worker": ["b:1"], "chief": ["a:1"]}
    assert read_cluster(config(both, "chief", 0)) == Cluster(("a:1", "b:1"), 0)
    assert read_cluster(config(both, "worker", 0)) == Cluster(("a:1", "b:1"), 1)


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({}, "is not set"),
        ({"TF_CONFIG": "{"}, "is no JSON"),
        ({"TF_CONFIG": "[]"}, "lacks cluster"),
        ({"TF_CONFIG": '{"cluster": {"worker": ["a:1"]}}'}, "lacks cluster, or a task"),
        (config({"worker": "a:1"}, "worker", 0), "address 'a', which is no host:port"),
        (config({"worker": 3}, "worker", 0), "lacks cluster"),
        (config({"worker": ["a:1"]}, "worker", 1), "says that this is worker 1, which"),
        (config({"worker": ["a:1"]}, "worker", -1), "says that this is worker -1, which"),
        (config({"worker": ["a:1"]}, "worker", "x"), "lacks cluster"),
        (config({"worker": ["a:1", "a:1"]}, "worker", 0), "names an address twice"),
        (config({"worker": ["a"]}, "worker", 0), "address 'a', which is no host:port"),
        (config({"worker": ["a:1"], "ps": ["b:1"]}, "worker", 0), "has a job ps"),
    ],
)
def test_wrong_cluster_is_told_with_an_example(environ, told):
    with pytest.raises(ClusterError, match=told) as refused:
        read_cluster(environ)
    assert str(refused.value).endswith(EXAMPLE)


def test_command_without_tf_config_ends_in_a_sentence_and_makes_nothing(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert main(["--out", str(tmp_path / "run"), "--strategy", "multi-worker"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: TF_CONFIG is not set; --strategy multi-worker wants")
    assert told.count("\n") == 1
    assert not (tmp_path / "run").exists()
