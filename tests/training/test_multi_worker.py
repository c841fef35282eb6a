"""Two processes train as one, stop as one, and go on when one of them was killed."""

import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from loadtests.serving import free_port
from tests.servers import PATIENCE_S, until

ROOT = Path(__file__).parents[2]
FEW = [
    *("--limit-images", "16", "--batch-size", "8", "--precision", "float32"),
    *("--statistics-passes", "1", "--swd-every", "0"),
]
HEARTBEAT_S = 120
WORKER = f"""
import sys
from functools import partialmethod
from tensorflow.python.eager.context import Context
Context.configure_coordination_service = partialmethod(
    Context.configure_coordination_service, heartbeat_timeout_in_ms={HEARTBEAT_S * 1000}
)
from training.__main__ import main
sys.exit(main(sys.argv[1:]))
"""
"""A worker that takes others for lost later than by default, after ten seconds."""
TWO_DEVICES = """
import sys
import tensorflow as tf
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from training.__main__ import main
sys.exit(main(sys.argv[1:]))
"""
TOLERANCE = 1e-3
"""The largest difference of two runs' weights, and of their optimizers', over their norm."""


class Two:
    """Two workers in processes of their own; the run directory is known to the chief alone."""

    def __init__(self, out, epochs, *changes):
        addresses = [f"127.0.0.1:{free_port()}" for _ in range(2)]
        self.out = out
        self.processes = [
            self.start(addresses, index, epochs, changes if index else ()) for index in range(2)
        ]

    def start(self, addresses, index, epochs, changes):
        task = {"type": "worker", "index": index}
        config = {"cluster": {"worker": addresses}, "task": task}
        out = self.out if index == 0 else self.out.with_name("not-made")
        command = [sys.executable, "-c", WORKER, "--strategy", "multi-worker", *FEW]
        command += ["--out", str(out), "--epochs", str(epochs), *changes]
        environ = os.environ | {"TF_CONFIG": json.dumps(config)}
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=ROOT, env=environ, text=True, stdout=pipe, stderr=pipe)

    def after(self, epochs, number):
        """Send worker 1 a signal when so many epochs are done."""
        checkpoint = self.out / "checkpoints" / f"ckpt-{epochs}.index"
        until(lambda: checkpoint.exists() or self.processes[0].poll() is not None)
        self.processes[1].send_signal(number)
        return self

    def ended(self):
        """Return the exit status of each worker, and its last line: of errors if it failed."""
        told = [each.communicate(timeout=PATIENCE_S) for each in self.processes]
        statuses = [each.returncode for each in self.processes]
        texts = [err if status else out for status, (out, err) in zip(statuses, told, strict=True)]
        return statuses, [text.strip().rpartition("\n")[2] for text in texts]


def epochs_done(run):
    return int(tf.train.latest_checkpoint(str(run / "checkpoints")).rpartition("-")[2])


def parts(run):
    """Return the numbers of a run's newest checkpoint: those of each network and optimizer as one.

    All but the averaged generator's batch statistics, which are measured anew for every picture.
    """
    reader = tf.train.load_checkpoint(str(run / "checkpoints"))
    names = [n for n in sorted(reader.get_variable_to_shape_map()) if "VARIABLE_VALUE" in n]
    names = [n for n in names if not ("ema_generator" in n and "moving" in n)]
    found = itertools.groupby(names, key=lambda name: name.partition("/")[0])
    return {
        part: np.concatenate([reader.get_tensor(n).ravel().astype(np.float64) for n in some])
        for part, some in found
        if part != "save_counter"
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that was stopped, then lost a worker, and was finished; and how each part ended."""
    out = tmp_path_factory.mktemp("runs") / "run"
    stopped = Two(out, 1000).after(1, signal.SIGTERM).ended()
    done = epochs_done(out)
    lost = Two(out, 1000).after(done + 1, signal.SIGKILL).ended()
    return {"out": out, "stopped": (done, stopped), "lost": (epochs_done(out), lost)}


@pytest.fixture(scope="module")
def finished(run):
    return run | {"finished": Two(run["out"], run["lost"][0] + 1).ended()}


def test_worker_that_is_told_to_stop_ends_all_of_them_after_the_epoch(run):
    done, (statuses, told) = run["stopped"]
    assert statuses == [130, 130]
    sentence = f"stopped after epoch {done} of 1000; the same command goes on"
    assert all(line.startswith(sentence) for line in told)


def test_worker_that_is_killed_ends_the_other_in_a_sentence(run):
    _, (statuses, told) = run["lost"]
    assert statuses == [75, -signal.SIGKILL]
    assert told[0].startswith("error: another worker ended or cannot be reached. Start all")


def test_chief_alone_writes(finished):
    statuses, told = finished["finished"]
    out = finished["out"]
    assert statuses == [0, 0], told
    assert told == [f"done: {out / 'saved_model'}", "done; the chief has the model"]
    facts = json.loads((out / "run.json").read_text())
    assert facts["steps"] == 2 * facts["epochs"]
    assert not out.with_name("not-made").exists()


def test_weights_are_those_of_one_process_with_as_many_replicas_that_nothing_interrupted(
    finished, tmp_path
):
    out, epochs = finished["out"], finished["lost"][0] + 1
    settings = ["--out", str(tmp_path), "--epochs", str(epochs), "--strategy", "mirrored", *FEW]
    subprocess.run([sys.executable, "-c", TWO_DEVICES, *settings], cwd=ROOT, check=True)
    wanted, found = parts(tmp_path), parts(out)
    assert wanted.keys() == found.keys()
    for part, numbers in wanted.items():
        difference = np.linalg.norm(numbers - found[part]) / np.linalg.norm(numbers)
        assert difference <= TOLERANCE, part


def test_worker_with_another_seed_is_refused_before_anything_is_trained(tmp_path):
    statuses, told = Two(tmp_path / "run", 1, "--seed", "7").ended()
    assert statuses == [2, 2]
    assert "another worker has other settings or photographs" in told[0]
    assert (
        "worker 1 has other settings or photographs than the chief (seed is 7, not 0)" in (told[1])
    )
    assert not (tmp_path / "run" / "checkpoints").exists()
