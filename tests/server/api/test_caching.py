"""A tag names all that decides about the bytes, and so a 304 is true."""

from dataclasses import replace

import pytest

from server.api import caching
from server.api.caching import FOR_A_MINUTE, FOR_EVER, cache_control, entity_tag, held_tag
from server.api.parameters import ImageParameters
from server.ipc.catalog import READY, Entry
from server.ipc.sources import SeedRange

PLAIN = ImageParameters()
TAG = entity_tag(7, "cpu/f32", SeedRange(7, 1), PLAIN)
MODEL = Entry("cars", "1", READY)


@pytest.fixture
def anew():
    """Forget what this machine is, before and after."""
    caching._drawn_by.cache_clear()
    yield
    caching._drawn_by.cache_clear()


@pytest.mark.parametrize(
    "other",
    [
        (8, "cpu/f32", SeedRange(7, 1), PLAIN),
        (7, "openvino/f32", SeedRange(7, 1), PLAIN),
        (7, "cpu/f32", SeedRange(8, 1), PLAIN),
        (7, "cpu/f32", SeedRange(7, 2), PLAIN),
        (7, "cpu/f32", SeedRange(7, 1), ImageParameters(scale=2)),
    ],
    ids=["bundle", "plan", "seed", "number", "parameters"],
)
def test_whatever_decides_about_the_bytes_makes_another_tag(other):
    assert entity_tag(7, "cpu/f32", SeedRange(7, 1), ImageParameters()) == TAG
    assert entity_tag(*other) != TAG


@pytest.mark.parametrize(
    ("name", "value", "changes_exact"),
    [
        ("vector_instructions", lambda: "x86_64 avx2", False),
        ("_runtimes", lambda: ["onnxruntime 9.9"], False),
        ("ENCODERS", "Pillow 99", True),
    ],
)
def test_another_processor_or_library_makes_another_tag(
    monkeypatch, anew, name, value, changes_exact
):
    exact = entity_tag(7, "cpu/exact", SeedRange(7, 1), PLAIN)
    monkeypatch.setattr(caching, name, value)
    caching._drawn_by.cache_clear()
    assert entity_tag(7, "cpu/f32", SeedRange(7, 1), PLAIN) != TAG
    changed = entity_tag(7, "cpu/exact", SeedRange(7, 1), PLAIN) != exact
    assert changed is changes_exact


@pytest.mark.parametrize(
    ("plan", "weak"),
    [("cpu/f32", False), ("openvino/bf16", False), ("cuda/f32", True), ("tensorrt/f16", True)],
)
def test_tag_is_weak_where_bytes_may_differ_from_draw_to_draw(plan, weak):
    tag = entity_tag(7, plan, SeedRange(7, 1), PLAIN)
    assert tag.startswith('W/"' if weak else '"')
    assert tag.endswith('"')
    assert held_tag(tag, [tag]) == tag


@pytest.mark.parametrize(
    "header",
    [TAG, f"W/{TAG}", f'"a", {TAG}', f'"a",W/"b",{TAG} , "c"', "*", " * "],
)
def test_caller_that_has_it_is_told_so(header):
    assert held_tag(header, ['"other"', TAG]) in (TAG, '"other"' if "*" in header else TAG)


@pytest.mark.parametrize(
    "header", [None, "", '""', TAG[:-1], TAG.strip('"'), TAG[:-1] + '0"', '"*"', "*, *", '"a", "b"']
)
def test_caller_that_has_not_gets_it(header):
    assert held_tag(header, [TAG]) is None


def test_tag_of_the_plan_that_the_caller_has_is_told_of_several():
    tags = [entity_tag(7, plan, SeedRange(7, 1), PLAIN) for plan in ("cpu/f32", "openvino/f32")]
    assert held_tag(tags[1], tags) == tags[1]


@pytest.mark.parametrize(
    ("plans", "instead_of", "told"),
    [
        (["cpu/f32"], "", FOR_EVER),
        (["openvino/bf16"], "", FOR_EVER),
        (["cpu/exact"], "", FOR_EVER),
        (["cpu/f32"], "openvino/bf16", FOR_A_MINUTE),
        (["cpu/f32", "openvino/f32"], "", FOR_A_MINUTE),
        (["cuda/f32"], "", FOR_A_MINUTE),
        ([], "", FOR_A_MINUTE),
    ],
    ids=["cpu", "openvino", "exact", "a fallback", "two plans", "a GPU", "no engine"],
)
def test_image_of_a_version_is_kept_for_ever_where_it_stays_the_same(plans, instead_of, told):
    assert cache_control(replace(MODEL, instead_of=instead_of), plans) == told
