"""What a reader sees of a bundle while it is written, killed, refused or replaced."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from export import write
from export.errors import VersionExists
from export.write import DRAFTS, check_free, draft_of
from server.bundle import repository
from server.bundle.manifest import VERSION, BundleError

KILLED = """
import os, signal, sys
from pathlib import Path
from export.write import draft_of
with draft_of(Path(sys.argv[1]), force=False) as draft:
    for i, name in enumerate(("generator.onnx", "golden.npy", "manifest.json")):
        if i == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        (draft / name).write_text("{}")
    os.kill(os.getpid(), signal.SIGKILL)
"""
ROOT = Path(__file__).parents[2]


@pytest.fixture
def target(tmp_path):
    return tmp_path / "models" / "cars-dcgan" / "1"


def make(target, text="{}", force=False):
    with draft_of(target, force) as draft:
        (draft / "manifest.json").write_text(text)


def found(target):
    """The version that a server would see, or None."""
    there = repository.scan(target.parent.parent)
    return target if f"{target.parent.name}/{target.name}" in there else None


def test_reader_is_told_of_no_bundle_while_a_whole_draft_lies_there(target):
    with draft_of(target, force=False) as draft:
        (draft / "manifest.json").write_text("{}")
        with pytest.raises(BundleError, match="it has none at all"):
            repository.find(target.parent.parent, target.parent.name)


def test_bundle_appears_when_all_of_it_is_there(target):
    with draft_of(target, force=False) as draft:
        (draft / "manifest.json").write_text("{}")
        assert found(target) is None
    assert found(target) == target
    assert [x.name for x in target.parent.iterdir()] == ["1"]


def test_draft_has_a_name_that_is_no_version(target):
    with draft_of(target, force=False) as draft:
        assert not any(VERSION.fullmatch(x.name) for x in target.parent.iterdir())
        assert draft.parent.name.startswith(DRAFTS)
        (draft / "manifest.json").write_text("{}")


@pytest.mark.parametrize("files", [0, 1, 2, 3])
def test_kill_in_the_middle_leaves_no_bundle_and_the_next_export_cleans_up(target, files):
    command = [sys.executable, "-c", KILLED, str(target), str(files)]
    assert subprocess.run(command, cwd=ROOT).returncode == -signal.SIGKILL
    assert found(target) is None
    assert len(list(target.parent.glob(f"{DRAFTS}*"))) == 1
    make(target)
    assert found(target) == target
    assert [x.name for x in target.parent.iterdir()] == ["1"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError, SystemExit])
def test_stop_in_the_middle_leaves_nothing_at_all(target, stop):
    target.parent.parent.parent.mkdir(exist_ok=True)
    with pytest.raises(stop), draft_of(target, force=False) as draft:
        (draft / "manifest.json").write_text("{}")
        raise stop
    assert not target.parent.parent.exists()


def test_export_beside_another_one_leaves_its_draft_alone(target):
    with draft_of(target, force=False) as draft:
        make(target.with_name("2"))
        assert draft.is_dir()
        (draft / "manifest.json").write_text("{}")
    assert sorted(x.name for x in target.parent.iterdir()) == ["1", "2"]


def test_existing_version_is_refused_and_stays_as_it_was(target):
    make(target, "old")
    with pytest.raises(VersionExists, match="next --version, or --force"):
        check_free(target, force=False)
    with pytest.raises(VersionExists):
        make(target, "new")
    assert (target / "manifest.json").read_text() == "old"


def test_version_that_appeared_in_the_meantime_is_refused(target):
    with pytest.raises(VersionExists), draft_of(target, force=False) as draft:
        (draft / "manifest.json").write_text("mine")
        target.mkdir()
        (target / "manifest.json").write_text("theirs")
    assert (target / "manifest.json").read_text() == "theirs"
    assert [x.name for x in target.parent.iterdir()] == ["1"]


@pytest.mark.parametrize("exchange", [True, False])
def test_force_replaces_all_of_the_old_version(target, monkeypatch, exchange):
    make(target, "old")
    (target / "stale").write_text("")
    if not exchange:
        monkeypatch.setattr(write.ctypes, "CDLL", lambda *_, **__: object())
    make(target, "new", force=True)
    assert [x.name for x in target.iterdir()] == ["manifest.json"]
    assert (target / "manifest.json").read_text() == "new"
    assert [x.name for x in target.parent.iterdir()] == ["1"]


def test_failed_replacement_keeps_the_old_version(target):
    make(target, "old")
    with pytest.raises(OSError, match="full"), draft_of(target, force=True) as draft:
        (draft / "manifest.json").write_text("new")
        raise OSError("disk is full")
    assert (target / "manifest.json").read_text() == "old"


def test_everything_is_on_the_disk_before_the_rename(target, monkeypatch):
    events = []
    real_sync, real_rename = write._sync_one, write.os.rename

    def sync(path):
        events.append(path.name)
        real_sync(path)

    def rename(source, destination):
        events.append("rename")
        real_rename(source, destination)

    monkeypatch.setattr(write, "_sync_one", sync)
    monkeypatch.setattr(write.os, "rename", rename)
    make(target)
    assert events == ["manifest.json", "bundle", "rename", "cars-dcgan", "models"]
