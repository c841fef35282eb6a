"""Notes of loads: what is held against a bundle, and what is not."""

import os
import signal

import pytest

from server.bundle.errors import BundleError, LoadsEnded
from server.engine import load_notes
from server.engine.load_notes import (
    CRASHED,
    DEATHS,
    ENDED,
    FAILED_STATUS,
    GUNICORN_STATUS,
    KILLED,
    LIMIT_STATUS,
    TIME_LIMIT,
    cause_of,
    noted,
)
from server.ipc.engine_dir import EngineDir


@pytest.fixture
def engine_dir(tmp_path):
    engine_dir = EngineDir(tmp_path / "engine-0")
    engine_dir.prepare()
    return engine_dir


@pytest.fixture
def load(engine_dir, tmp_path):
    """Return a function that loads a bundle, which may have ended engines before."""

    def load(before=(), work=lambda: None, **options):
        note = engine_dir.loads(7)
        note.write_text("".join(f"17 {cause}\n" for cause in before))
        with noted(note, tmp_path, **{"insist": False, **options}):
            work()

    return load


@pytest.mark.parametrize(
    ("status", "aborted", "cause"),
    [
        (0, False, ""),
        (-signal.SIGSEGV, False, CRASHED),
        (-signal.SIGABRT, False, CRASHED),
        (9, False, CRASHED),
        (-signal.SIGKILL, False, KILLED),
        (-signal.SIGTERM, False, KILLED),
        (-signal.SIGKILL, True, TIME_LIMIT),
        (0, True, TIME_LIMIT),
        (LIMIT_STATUS, False, TIME_LIMIT),
        (FAILED_STATUS, False, ENDED),
        (GUNICORN_STATUS, False, ENDED),
    ],
)
def test_only_a_crash_may_be_the_fault_of_a_bundle(status, aborted, cause):
    assert cause_of(status, aborted) == cause


def test_note_of_a_load_is_there_until_it_ends_or_fails(engine_dir, load):
    seen = []

    def work():
        seen.append(load_notes.is_loading(engine_dir, os.getpid()))

    load(work=work)
    assert seen == [True]
    assert not engine_dir.all_notes

    def fail():
        raise MemoryError

    with pytest.raises(MemoryError):
        load(work=fail)
    assert not engine_dir.all_notes


def test_bundle_that_engines_crashed_of_is_loaded_only_if_somebody_insists(engine_dir, load):
    load([CRASHED] * (DEATHS - 1))
    for is_alone in (False, True):
        with pytest.raises(BundleError, match="2 engines crashed") as refusal:
            load([CRASHED] * DEATHS, is_alone=is_alone)
        assert refusal.value.is_of_content
    assert engine_dir.all_loads
    load([CRASHED] * DEATHS, insist=True)
    assert not engine_dir.all_loads


@pytest.mark.parametrize(
    "cause", [KILLED, TIME_LIMIT, ENDED, "unknown", "what another version wrote"]
)
def test_bundle_that_engines_were_killed_beside_is_put_off_only_if_another_serves(load, cause):
    load([cause] * (DEATHS - 1))
    with pytest.raises(LoadsEnded, match="engines that loaded it before: 2 ") as refusal:
        load([cause] * DEATHS)
    assert not refusal.value.is_of_content
    load([cause] * 20, is_alone=True)
    load([cause] * 20, insist=True)


def test_witness_tells_what_only_that_engine_died_of_and_the_next_one_hears_it_once(engine_dir):
    mine, others = engine_dir.loads(1), engine_dir.loads(2)
    mine.write_text("16 killed\n17 unknown\n")
    others.write_text("18 unknown\n")
    assert load_notes.is_loading(engine_dir, 17)
    load_notes.witness(engine_dir, 17, CRASHED)
    assert not load_notes.is_loading(engine_dir, 17)
    assert load_notes.deaths(mine) == [KILLED, CRASHED]
    assert others.read_text() == "18 unknown\n"
    assert [load_notes.last_death(engine_dir) for _ in range(2)] == [CRASHED, ""]


def test_engine_that_ended_as_it_was_told_leaves_no_trace(engine_dir):
    note = engine_dir.loads(1)
    note.write_text("16 killed\n17 unknown\n")
    load_notes.witness(engine_dir, 17, "")
    assert load_notes.deaths(note) == [KILLED]
    assert load_notes.last_death(engine_dir) == ""


def test_lost_directory_is_no_reason_to_fail(engine_dir, load):
    note = engine_dir.loads(1)
    engine_dir.folder.rmdir()
    with noted(note, engine_dir.folder, insist=False):
        assert not load_notes.is_loading(engine_dir, os.getpid())
    load_notes.witness(engine_dir, 17, KILLED)
    assert load_notes.last_death(engine_dir) == KILLED  # in a directory that is made anew
