"""What is served, as HTTP workers read it."""

import pytest
from tests_engine import manifest

from server.bundle import BundleError
from server.catalog import LOADING, READY, UNAVAILABLE, Catalog, Entry
from server.errors import ModelNotFound, ModelUnavailable


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
