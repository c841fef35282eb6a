"""What lies in a model repository, whole or not."""

import shutil

import pytest

from server.bundle import repository
from server.bundle.manifest import BundleError


def test_latest_is_the_highest_number_that_is_whole_not_the_last_name(write_bundle, tmp_path):
    for version in ("2", "10", "9"):
        write_bundle(version)
    (tmp_path / "models" / "tiny" / "11").mkdir()  # no manifest: still being copied
    (tmp_path / "models" / "tiny" / "99.partial").mkdir()
    assert repository.find(tmp_path / "models", "tiny").path.name == "10"
    assert repository.find(tmp_path / "models", "tiny", "9").path.name == "9"
    (tmp_path / "models" / "tiny" / "10" / "golden.npy").unlink()
    assert repository.find(tmp_path / "models", "tiny").path.name == "9"


def test_unknown_version_is_answered_with_what_there_is(write_bundle, tmp_path):
    write_bundle("3")
    with pytest.raises(BundleError, match="no bundle tiny/4; it has tiny/3"):
        repository.find(tmp_path / "models", "tiny", "4")
    with pytest.raises(BundleError, match="none at all"):
        repository.find(tmp_path / "nowhere", "tiny")


def test_where_no_version_is_whole_each_is_told(write_bundle, tmp_path):
    for version in ("1", "2"):
        (write_bundle(version) / "golden.npy").unlink()
    with pytest.raises(BundleError, match=r"2: the manifest lists golden.npy.*1: the manifest"):
        repository.find(tmp_path / "models", "tiny")


def test_version_that_cannot_be_read_gives_way_to_the_one_before(write_bundle, tmp_path):
    write_bundle("1")
    unreadable = write_bundle("2") / "generator.onnx"
    unreadable.unlink()
    unreadable.symlink_to("/proc/self/mem")
    assert repository.find(tmp_path / "models", "tiny").path.name == "1"


def test_bundle_in_a_place_of_another_name_is_refused(write_bundle, tmp_path):
    shutil.move(write_bundle("1"), tmp_path / "models" / "tiny" / "2")
    with pytest.raises(BundleError, match="says in its manifest that it is tiny/1"):
        repository.load(tmp_path / "models", "tiny/2")


def test_scan_sees_every_version_and_when_one_changes(write_bundle, tmp_path):
    models = tmp_path / "models"
    folder = write_bundle("1")
    write_bundle("2", name="other")
    (models / "Not A Name" / "1").mkdir(parents=True)
    (models / "tiny" / "0").mkdir()
    (models / "README.md").write_text("read me")
    before = repository.scan(models)
    assert sorted(before) == ["other/2", "tiny/1"]
    assert repository.scan(models) == before
    (folder / "generator.onnx").write_bytes(b"another graph")
    assert {x for x, seen in repository.scan(models).items() if seen != before[x]} == {"tiny/1"}
    assert repository.scan(tmp_path / "nowhere") == {}


def test_versions_are_numbers_newest_first():
    refs = ["cars/2", "cars/10", "cars-old/11", "cars/9"]
    assert repository.versions(refs, "cars") == ["10", "9", "2"]
