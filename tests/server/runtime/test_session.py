"""The real default bundle on the real runtimes of this machine."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from server.bundle import repository, volume
from server.bundle.errors import BundleUnreadable
from server.bundle.files import golden_file, load_bundle
from server.bundle.latents import latents
from server.bundle.manifest import FileFacts
from server.config import ServerConfig
from server.runtime.open_session import open_session
from server.runtime.plans import Plan, SessionError, choose_plans, float_plans
from server.runtime.session import (
    FLOATS_OFF,
    Session,
    compiled_size,
    self_test,
    self_test_floats,
)
from tests.small_model import conditional_model_of

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


@pytest.mark.parametrize("off", [0, 1])
def test_exact_variant_has_to_draw_its_own_golden_images_byte_for_byte(tmp_path, off):
    bundle = repository.find(ROOT / "models", "cars-dcgan", "1")
    exact = replace(bundle.manifest.variant("fp32"), name="exact", plans=["cpu/exact"], refused=[])
    own = golden_file("exact")
    manifest = replace(
        bundle.manifest,
        variants=[*bundle.manifest.variants, exact],
        files={**bundle.manifest.files, own: FileFacts("", 0)},
    )
    copy = replace(altered(bundle, bundle.golden_images(), tmp_path), manifest=manifest)
    config = ServerConfig.from_env({"CARFRONT_PRECISION": "exact", "CARFRONT_PROVIDER": "cpu"})
    plans = choose_plans(config.provider, config.precision, manifest)
    drawn = Session(tmp_path / exact.file, plans[0], 1).run(
        latents(manifest.golden.seeds, manifest.latents.dim)
    )
    drawn[3, 4, 5, 1] ^= off
    np.save(tmp_path / own, drawn)
    if off:
        with pytest.raises(SessionError, match=r"off by 1 grey levels \(tolerance 0\)"):
            open_session(copy, plans, threads=1)
    else:
        session, failed = open_session(copy, plans, threads=1)
        assert (session.plan, failed) == (Plan("cpu", "exact"), [])


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


def test_batches_smaller_than_the_manifest_allows_a_plan_are_padded(bundle, monkeypatch):
    variants = [replace(x, least_rows={"cpu/f32": 3}) for x in bundle.manifest.variants]
    padding = replace(bundle, manifest=replace(bundle.manifest, variants=variants))
    session, _ = open_session(padding, [Plan("cpu", "f32")], threads=1)
    recorded = Recorded(session._ort)
    monkeypatch.setattr(session, "_ort", recorded)
    batch = latents(range(4), 100)
    images = session.run(batch)
    for rows in (1, 2, 3):
        np.testing.assert_array_equal(session.run(batch[:rows]), images[:rows])
    assert recorded.sizes == [4, 3, 3, 3]


def test_plan_that_the_manifest_does_not_list_runs_a_single_row_as_it_is(bundle, monkeypatch):
    variants = [replace(x, least_rows={"openvino/f32": 2}) for x in bundle.manifest.variants]
    padding = replace(bundle, manifest=replace(bundle.manifest, variants=variants))
    session, _ = open_session(padding, [Plan("cpu", "f32")], threads=1)
    recorded = Recorded(session._ort)
    monkeypatch.setattr(session, "_ort", recorded)
    session.run(latents([0], 100))
    assert recorded.sizes == [1]


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


@pytest.fixture(scope="module")
def pets(tmp_path_factory):
    """A conditional bundle. Read only."""
    models = tmp_path_factory.mktemp("models")
    return load_bundle(conditional_model_of(models, "pets", ["cat", "dog", "cow"]))


@pytest.mark.parametrize("plan", choose_plans(), ids=str)
def test_images_of_a_class_have_the_same_bits_in_every_batch(pets, plan):
    session, failed = open_session(pets, [plan], threads=1)
    assert not failed
    session.warm_up(4, 100)
    batch, classes = latents(range(40), 100), np.arange(40) % 3
    images = session.run(batch, classes)
    for start, rows in ((0, 1), (5, 3), (7, 33)):
        part = slice(start, start + rows)
        assert (session.run(batch[part], classes[part]) == images[part]).all()
    assert (session.run(batch) == session.run(batch, np.zeros(40, np.int64))).all()
    assert images[1::3].mean() > images[0::3].mean() + 50


def test_session_that_ignores_the_class_is_not_served(pets, monkeypatch):
    run = Session.run
    monkeypatch.setattr(Session, "run", lambda self, batch, classes: run(self, batch))
    with pytest.raises(SessionError, match="its golden images are off by"):
        open_session(pets, choose_plans("cpu"), threads=1)


@pytest.mark.parametrize(("of", "classes"), [("pets", []), ("bundle", ["cat", "dog"])])
def test_graph_and_manifest_that_disagree_on_classes_are_refused(of, classes, request):
    bundle = request.getfixturevalue(of)
    other = replace(bundle, manifest=replace(bundle.manifest, classes=classes))
    with pytest.raises(SessionError, match=f"classes, and its manifest names {len(classes)}"):
        open_session(other, choose_plans("cpu"), threads=1)


@pytest.fixture(scope="module", params=["cpu", "openvino"])
def floats(request, bundle):
    """A session of the graph of float images, beside one in bfloat16 or float32."""
    plans = float_plans(Plan(request.param, "bf16"), fallback=False)
    session, _ = open_session(bundle, plans, threads=1)
    return session


def test_float_images_are_in_the_range_whatever_the_latents(floats):
    for factor in (1, 100):  # of which ONNX Runtime's own Tanh makes up to 1.0000002
        images = floats.run(latents(range(64), 100) * np.float32(factor))
        assert images.dtype == np.float32
        assert np.abs(images).max() <= 1


def test_float_images_have_the_same_bits_in_every_batch(floats):
    batch = latents(range(33), 100)
    images = floats.run(batch)
    for rows in (1, 2, 7, 16, 32):
        assert (floats.run(batch[:rows]) == images[:rows]).all()


def test_float_images_are_the_golden_ones_before_they_were_rounded(floats, bundle):
    assert 0.4 < self_test_floats(floats, bundle) < FLOATS_OFF


def test_graph_of_other_float_images_is_refused(bundle, tmp_path):
    images = bundle.golden_images()
    images[1, 3, 4, 0] ^= 1
    with pytest.raises(SessionError, match=r"off by 1\.\d+ grey levels \(tolerance 0\.7\)"):
        plans = float_plans(Plan("cpu", "f32"), fallback=False)
        open_session(altered(bundle, images, tmp_path), plans, threads=1)


def test_graph_of_bytes_is_none_of_float_images(bundle):
    (floats,) = [x for x in bundle.manifest.variants if x.name == "floats"]
    swapped = replace(floats, file="generator.onnx")
    others = [x for x in bundle.manifest.variants if x is not floats]
    other = replace(bundle, manifest=replace(bundle.manifest, variants=[*others, swapped]))
    with pytest.raises(SessionError, match="draws uint8"):
        open_session(other, float_plans(Plan("cpu", "f32"), fallback=False), threads=1)


def test_plan_that_is_refused_for_bytes_is_refused_for_float_images(bundle):
    (plain, *others) = bundle.manifest.variants
    wary = [replace(plain, refused=["openvino/f32"]), *others]
    other = replace(bundle, manifest=replace(bundle.manifest, variants=wary))
    session, failed = open_session(other, float_plans(Plan("openvino", "bf16"), True), threads=1)
    assert (session.plan.provider, len(failed)) == ("cpu", 1)
