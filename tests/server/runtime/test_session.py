"""The real default bundle on the real runtimes of this machine."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from server.bundle import repository, volume
from server.bundle.errors import BundleUnreadable
from server.bundle.latents import latents
from server.runtime.plans import Plan, SessionError, choose_plans
from server.runtime.session import Session, compiled_size, open_session, self_test

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def bundle():
    return repository.find(ROOT / "models", "cars-dcgan")


@pytest.fixture(scope="module", params=choose_plans(), ids=lambda p: f"{p.provider}-{p.precision}")
def session(request, bundle):
    session, failed = open_session(bundle, [request.param], threads=1)
    assert not failed
    return session


def test_images_have_the_same_bits_in_every_batch(session):
    batch = latents(range(64), 100)
    images = session.run(batch)
    for rows in (1, 2, 3, 7, 16, 31, 33, 63):
        for start in range(0, 64 - rows + 1, 16):
            part = session.run(batch[start : start + rows])
            assert (part == images[start : start + rows]).all(), (rows, start)


def test_golden_images_are_drawn_within_the_tolerance(session, bundle):
    assert self_test(session, bundle) <= bundle.manifest.golden.tolerance


def test_images_are_not_all_alike(session):
    images = session.run(latents(range(16), 100))
    assert images.dtype == np.uint8
    assert len({image.tobytes() for image in images}) == 16
    assert images.std() > 30


def altered(bundle, images, tmp_path):
    """Return a bundle whose golden images are other ones."""
    for file in bundle.path.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    np.save(tmp_path / bundle.manifest.golden.file, images)
    return replace(bundle, path=tmp_path)


def test_wrong_golden_image_stops_the_session(bundle, tmp_path):
    images = bundle.golden_images()
    images[1, 3, 4, 0] ^= 128
    with pytest.raises(SessionError, match="off by 128 grey levels"):
        open_session(altered(bundle, images, tmp_path), [Plan("cpu", "f32")], threads=1)


def test_golden_images_of_another_shape_stop_the_session(bundle, tmp_path):
    images = bundle.golden_images()[:, :16]
    with pytest.raises(SessionError, match=r"should be uint8 \(16, 32, 32, 3\)"):
        open_session(altered(bundle, images, tmp_path), [Plan("cpu", "f32")], threads=1)


def test_plan_that_cannot_serve_is_passed_over_and_told(bundle, caplog):
    wanted = [Plan("cuda", "f32"), Plan("cpu", "f32")]
    session, failed = open_session(bundle, wanted, threads=1)
    assert session.plan == Plan("cpu", "f32")
    assert failed == wanted[:1]
    assert "cuda in f32 cannot serve" in caplog.text


def test_plan_that_the_manifest_refuses_is_passed_over_and_told(bundle, caplog):
    variants = [replace(x, refused=["openvino/f32"]) for x in bundle.manifest.variants]
    wary = replace(bundle, manifest=replace(bundle.manifest, variants=variants))
    wanted = [Plan("openvino", "f32"), Plan("cpu", "f32")]
    session, failed = open_session(wary, wanted, threads=1)
    assert session.plan == Plan("cpu", "f32")
    assert failed == wanted[:1]
    assert "openvino in f32 cannot serve: its images changed with the batch" in caplog.text


def test_volume_that_gives_no_answer_is_no_fault_of_a_plan(bundle, monkeypatch):
    def hang(place, work):
        raise BundleUnreadable(f"{place} cannot be read: there is no answer")

    monkeypatch.setattr(volume, "read", hang)
    with pytest.raises(BundleUnreadable, match="no answer"):
        open_session(bundle, [Plan("cpu", "f32")], threads=1)


def test_no_plan_left_is_an_error_with_every_reason(bundle):
    with pytest.raises(SessionError, match=r"cuda in f32: .*CUDAExecutionProvider"):
        open_session(bundle, [Plan("cuda", "f32")], threads=1)


def test_openvino_runs_large_batches_in_four_sizes_between_powers_of_two():
    assert [compiled_size(rows) for rows in range(1, 33)] == list(range(1, 33))
    assert [compiled_size(rows) for rows in (33, 40, 41, 56, 57, 64)] == [40, 40, 48, 56, 64, 64]
    assert sorted({compiled_size(rows) for rows in range(65, 257)}) == [
        *(80, 96, 112, 128),
        *(160, 192, 224, 256),
    ]
    assert all(rows <= compiled_size(rows) < 1.25 * rows for rows in range(1, 4097))


class Recorded:
    """A runtime that notes the size of every batch."""

    def __init__(self, real):
        self._real = real
        self.sizes = []

    def run(self, outputs, feeds):
        (batch,) = feeds.values()
        self.sizes.append(len(batch))
        return self._real.run(outputs, feeds)


@pytest.mark.parametrize(
    ("provider", "warm"),
    [("openvino", [*range(1, 33), 40, 48, 56]), ("cpu", [1, 2, 4, 8, 16, 32, 64])],
)
def test_no_batch_that_is_served_has_a_size_that_was_not_warm(bundle, provider, warm, monkeypatch):
    session, _ = open_session(bundle, [Plan("cpu", "f32")], threads=1)
    session.plan = Plan(provider, "f32")  # not every processor is one for OpenVINO
    recorded = Recorded(session._ort)
    monkeypatch.setattr(session, "_ort", recorded)
    session.warm_up(50, 100)
    assert recorded.sizes == warm
    batch = latents(range(50), 100)
    for rows in (33, 41, 50):
        assert session.run(batch[:rows]).shape == (rows, 32, 32, 3)
    if provider == "openvino":  # the CPU compiles nothing
        assert set(recorded.sizes) == set(warm)


def test_graph_draws_the_same_with_its_weights_beside_it(bundle, tmp_path):
    import onnx

    graph = bundle.path / bundle.manifest.variant("fp32").file
    beside = tmp_path / "graph.onnx"
    model = onnx.load(str(graph))
    onnx.save(model, str(beside), save_as_external_data=True, location="weights.bin")
    batch, plan = latents(range(4), 100), Plan("cpu", "f32")
    assert (tmp_path / "weights.bin").exists()
    images = [Session(path, plan, threads=1).run(batch) for path in (graph, beside)]
    assert (images[0] == images[1]).all()
