"""Buckets of fixed size on a device: here the CPU is the device."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from server.bundle.latents import latents
from server.runtime.io_binding import IoBinding, bucket_of, is_out_of_memory
from tests.small_model import GRAPH, conditional_model_of

MODEL = Path(__file__).parents[3] / "models" / "cars-dcgan" / "1" / "generator.onnx"


@pytest.fixture(scope="module")
def session():
    return ort.InferenceSession(str(MODEL), providers=["CPUExecutionProvider"])


@pytest.fixture
def io_binding(session):
    return IoBinding(session, ("cpu", 0), 100, (32, 32, 3))


class Full:
    """A session on a device that has memory for so many rows."""

    def __init__(self, session, rows):
        self._session = session
        self.rows = rows
        self.ran = []
        self.get_inputs, self.get_outputs = session.get_inputs, session.get_outputs
        self.io_binding = session.io_binding

    def run_with_iobinding(self, binding, options):
        (images,) = binding.get_outputs()
        rows = images.shape()[0]
        self.ran.append(rows)
        if rows > self.rows:
            raise RuntimeError("BFCArena::AllocateRawInternal Failed to allocate memory for 12 GB")
        self._session.run_with_iobinding(binding, options)


def test_bucket_is_the_next_power_of_two():
    assert [bucket_of(rows) for rows in (1, 2, 3, 4, 5, 33, 64, 65)] == [1, 2, 4, 4, 8, 64, 64, 128]


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 8, 13])
def test_images_are_those_of_the_session_whatever_the_padding(session, io_binding, rows):
    batch = latents(range(rows), 100)
    (wanted,) = session.run(None, {"latents": batch})
    io_binding.run(latents(range(100, 116), 100))  # what a bucket held before
    assert (io_binding.run(batch) == wanted).all()
    assert (io_binding.run(batch[::-1]) == wanted[::-1]).all()


def test_images_stay_as_they_are_when_the_next_batch_runs(io_binding):
    first = io_binding.run(latents(range(4), 100))
    kept = first.copy()
    io_binding.run(latents(range(50, 54), 100))
    assert (first == kept).all()


def test_prepared_buckets_are_all_there_are_to_be(io_binding):
    io_binding.prepare(12)
    assert io_binding.sizes == [1, 2, 4, 8, 16]
    for rows in (1, 5, 12):
        io_binding.run(latents(range(rows), 100))
    assert io_binding.sizes == [1, 2, 4, 8, 16]


def test_full_device_goes_on_with_smaller_buckets(session, caplog):
    full = Full(session, 4)
    io_binding = IoBinding(full, ("cpu", 0), 100, (32, 32, 3))
    io_binding.prepare(64)
    assert (io_binding.sizes, io_binding.limit) == ([1, 2, 4], 4)
    assert "no memory for 8 images at once; from now on 4 at most" in caplog.text
    batch = latents(range(11), 100)
    full.ran.clear()
    assert (io_binding.run(batch) == session.run(None, {"latents": batch})[0]).all()
    assert full.ran == [4, 4, 4]


def test_memory_that_others_take_later_halves_the_largest_bucket(session):
    full = Full(session, 16)
    io_binding = IoBinding(full, ("cpu", 0), 100, (32, 32, 3))
    io_binding.prepare(16)
    full.rows = 3
    batch = latents(range(16), 100)
    assert (io_binding.run(batch) == session.run(None, {"latents": batch})[0]).all()
    assert (io_binding.sizes, io_binding.limit) == ([1, 2], 2)


def test_device_without_room_for_one_is_an_error(session):
    with pytest.raises(RuntimeError, match="Failed to allocate"):
        IoBinding(Full(session, 0), ("cpu", 0), 100, (32, 32, 3)).prepare(8)


def test_other_errors_are_the_callers(session, io_binding):
    with pytest.raises(Exception, match=r"(?i)shape|dimension|size"):
        io_binding.run(np.zeros((2, 7), np.float32))
    assert io_binding.limit is None


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("CUDA failure 2: out of memory", True),
        ("CUDNN_STATUS_ALLOC_FAILED ... CUDA_ERROR_OUT_OF_MEMORY", True),
        ("Failed to allocate memory for requested buffer of size 123", True),
        ("CUDA failure 700: an illegal memory access was encountered", False),
        ("Non-zero status code returned while running Conv node", False),
    ],
)
def test_only_a_full_device_is_taken_for_one(text, full):
    assert is_out_of_memory(RuntimeError(text)) is full


def test_classes_are_bound_beside_the_latents_and_padded_with_them(tmp_path):
    folder = conditional_model_of(tmp_path, "pets", ["cat", "dog", "cow"])
    session = ort.InferenceSession(str(folder / GRAPH), providers=["CPUExecutionProvider"])
    batch, classes = latents(range(13), 100), np.arange(13) % 3
    (wanted,) = session.run(None, {"latents": batch, "class": classes})
    full = Full(session, rows=8)
    io_binding = IoBinding(full, ("cpu", 0), 100, (32, 32, 3))
    assert (io_binding.run(batch, classes) == wanted).all()
    assert full.ran == [16, 8, 8], "in halves, each with its own classes"
    (first,) = session.run(None, {"latents": batch[:3], "class": np.zeros(3, np.int64)})
    assert (io_binding.run(batch[:3]) == first).all(), "class 0 where none is given"
    assert (io_binding.run(batch[:3], classes[:3]) == wanted[:3]).all()
