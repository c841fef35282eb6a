"""What is served, as HTTP workers read it."""

from dataclasses import replace

import pytest
from tests_engine import manifest

from server.bundle.manifest import BundleError
from server.errors import EngineUnavailable, ModelNotFound, ModelUnavailable
from server.ipc.catalog import LOADING, NOT_ASKED, READY, UNAVAILABLE, Catalog, Entry, merge


def entry(ref, state=READY, reason=""):
    name, version = ref.split("/")
    served = state == READY
    return Entry(name, version, state, reason, hash(ref) % 2**64, manifest() if served else None)


@pytest.fixture
def catalog():
    entries = [entry("a/1"), entry("a/2"), entry("b/7"), entry("a/3", UNAVAILABLE, "it is broken")]
    entries.append(entry("c/1", LOADING))
    return Catalog("a/2", {str(x): x for x in entries}, ("b",), {"a": "2", "b": "7"})


def test_it_is_read_as_it_was_written(catalog, tmp_path):
    catalog.write(tmp_path / "models.json")
    assert Catalog.read(tmp_path / "models.json") == catalog
    assert [x.name for x in tmp_path.iterdir()] == ["models.json"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"default": "a/1", "entries": [{}]}'])
def test_what_is_none_is_told(tmp_path, text):
    (tmp_path / "models.json").write_text(text)
    with pytest.raises(BundleError, match="is no catalog"):
        Catalog.read(tmp_path / "models.json")
    with pytest.raises(BundleError, match="is no catalog"):
        Catalog.read(tmp_path / "nowhere.json")


@pytest.mark.parametrize(
    ("name", "version", "found"),
    [
        (None, None, "a/2"),
        ("a", None, "a/2"),
        ("a", "1", "a/1"),
        (None, "1", "a/1"),
        ("b", None, "b/7"),
    ],
)
def test_model_is_found_by_what_is_named_of_it(catalog, name, version, found):
    assert str(catalog.find(name, version)) == found


def test_what_is_not_there_is_answered_with_what_is(catalog):
    for name, version in (("z", None), ("a", "9"), ("c/1", "1")):
        with pytest.raises(ModelNotFound, match="served are a/1, a/2, b/7"):
            catalog.find(name, version)


def test_what_is_not_served_is_answered_with_why(catalog):
    with pytest.raises(ModelUnavailable, match="model a/3 is unavailable: it is broken"):
        catalog.find("a", "3")
    with pytest.raises(ModelUnavailable, match="model c/1 is loading"):
        catalog.find("c", "1")


def test_nothing_is_missing_until_an_engine_has_spoken():
    for name in (None, "a"):
        with pytest.raises(EngineUnavailable):
            Catalog().find(name)
    assert merge([Catalog(), catalog_of("a/1"), Catalog()]).default == "a/1"


def catalog_of(default, *served, key=0, newest=None):
    """Return what an engine serves, ``default`` among it."""
    entries = {ref: replace(entry(ref), key=key or hash(ref)) for ref in (default, *served)}
    name, _, version = default.partition("/")
    return Catalog(default, entries, (), newest or {name: version})


@pytest.mark.parametrize(
    ("catalogs", "default"),
    [
        ([catalog_of("a/1")] * 3, "a/1"),
        ([catalog_of("a/2", "a/1"), catalog_of("a/1"), catalog_of("a/1")], "a/1"),
        ([catalog_of("a/2", "a/1"), catalog_of("a/2", "a/1"), catalog_of("a/1")], "a/1"),
        ([catalog_of("a/1", "a/2"), catalog_of("a/2", "a/1"), catalog_of("a/2", "a/1")], "a/2"),
        ([catalog_of("a/2"), catalog_of("a/2"), catalog_of("a/1")], "a/2"),
    ],
    ids=["all alike", "one has moved", "all but one have", "all have it", "one lags behind"],
)
def test_pointer_of_several_engines_moves_once_all_have_what_it_moves_to(catalogs, default):
    both = merge(catalogs)
    assert both.default == default
    assert str(both.find("a")) == default
    assert {str(x) for x in both.entries.values()} == {ref for x in catalogs for ref in x.entries}


def test_bundle_that_was_replaced_is_the_one_that_most_engines_have():
    old, new = catalog_of("a/1", key=1), catalog_of("a/1", key=2)
    assert merge([old, old, new]).find().key == 1
    assert merge([old, new, new]).find().key == 2


def told(*entries):
    """What several engines tell of one bundle."""
    return merge([Catalog("a/1", {"a/1": entry("a/1"), "a/3": x}) for x in entries]).entries["a/3"]


def test_what_one_engine_refuses_is_told():
    idle, broken = entry("a/3", UNAVAILABLE, NOT_ASKED), entry("a/3", UNAVAILABLE, "it is broken")
    assert told(idle, broken, idle).reason == "it is broken"
    assert told(idle, idle).reason == NOT_ASKED
    served = told(broken, entry("a/3"), entry("a/3"))
    assert (served.state, served.reason) == (READY, "an engine does not serve it: it is broken")
    assert told(idle, entry("a/3")).reason == ""


def test_bundle_that_one_engine_serves_is_served():
    loading = Catalog("a/1", {"a/1": entry("a/1"), "b/1": entry("b/1", LOADING)}, (), {"a": "1"})
    ready = Catalog("a/1", {"a/1": entry("a/1"), "b/1": entry("b/1")}, ("b",), {"a": "1", "b": "1"})
    both = merge([loading, ready])
    assert both.find("b").state == READY
    assert both.asked == ("b",)


def test_float_images_are_had_if_one_engine_draws_them():
    refuses = replace(entry("a/1"), no_floats="no memory")
    closed, draws = entry("a/1"), replace(entry("a/1"), float_plan="openvino/f32")
    for others in ((refuses, closed, draws), (draws, refuses), (refuses, draws)):
        merged = merge([Catalog("a/1", {"a/1": x}, (), {"a": "1"}) for x in others])
        assert merged.entries["a/1"] == draws
    merged = merge([Catalog("a/1", {"a/1": x}, (), {"a": "1"}) for x in (refuses, closed)])
    assert merged.entries["a/1"] == closed
    assert closed.floats_key not in (0, closed.key)
