"""What models did for callers of inference protocols, as one process and as several count it."""

import os
import subprocess
import sys
from pathlib import Path

from server.observability import metrics
from server.observability.inference_statistics import InferenceCounts, ModelStatistics, gathered

ROOT = Path(__file__).parents[3]
COUNT = """if True:
    from server.observability import metrics
    from server.observability.inference_statistics import InferenceCounts, gathered
    counts = InferenceCounts()
    counts.answered("cars/2", (0.5, 0.1, 0.02, 0.3, 0.04))
    counts.failed("cars/2", 0.25)
    metrics.IMAGES.labels("cars", "2", "oip").inc(3)
    metrics.IMAGES.labels("cars", "2", "images").inc(4)
    metrics.EXECUTIONS.labels("cars", "2").inc(5)
    found = gathered()["cars", "2"]
    print(found.images, found.batches, found.success.count, found.fail.count, found.queue.seconds)
"""


def test_steps_of_every_answer_are_added_up():
    counts = InferenceCounts()
    for _ in range(2):
        counts.answered("vans/7", (0.5, 0.125, 0.0, 0.25, 0.0625))
    counts.failed("vans/7", 0.75)
    found = gathered()["vans", "7"]
    assert (found.success.count, found.success.seconds) == (2, 1.0)
    assert (found.fail.count, found.fail.seconds) == (1, 0.75)
    assert (found.queue.count, found.queue.seconds) == (2, 0.25)
    assert (found.compute_infer.count, found.compute_infer.seconds) == (2, 0.5)
    assert found.compute_output.seconds == 0.125
    assert found.last_at > 0


def test_failure_alone_is_no_answer():
    InferenceCounts().failed("vans/8", 0.5)
    found = gathered()["vans", "8"]
    assert (found.success.count, found.fail.count, found.last_at) == (0, 1, 0.0)


def test_model_that_nobody_asked_has_done_nothing():
    assert gathered().get(("vans", "9"), ModelStatistics()) == ModelStatistics()


def test_processes_are_added_up(tmp_path):
    for slot in ("http-0", "http-1", "engine-0"):
        environ = {**os.environ, metrics.DIRECTORY: str(tmp_path), metrics.SLOT: slot}
        command = [sys.executable, "-c", COUNT]
        ended = subprocess.run(
            command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True
        )
    images, batches, answered, failed, queue_s = map(float, ended.stdout.split())
    assert (images, batches, answered, failed) == (3 * 7, 3 * 5, 3, 3)
    assert abs(queue_s - 0.3) < 1e-9
