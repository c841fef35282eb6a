"""Photographs come in their order from any number of processes, and none outlives the work."""

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from tests.patience import PATIENCE_S
from training.data.layout import DataError, Photo
from training.data.prepare import Prepared
from training.data.workers import CHUNK, in_order, prepare_all

ROOT = Path(__file__).parents[3]
PREPARE = """
import sys
from pathlib import Path

from training.data import prepare
from training.data.layout import Photo
from training.data.photographs import load_photographs

prepare._content = lambda photo: photo.file  # a pipe is taken for a file that never ends

if __name__ == "__main__":
    root = Path(sys.argv[1])
    photos = [Photo(file) for file in sorted(root.glob("*.png"))]
    load_photographs("folder", root, photos, {"size": 32}, 0.0, "folder of images")
"""


def until(holds, seconds=PATIENCE_S):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)  # between two looks


@pytest.fixture
def photos(tmp_path, street, save):
    """Photographs, each in a grey of its own, and one in their midst that cannot be read."""
    found = []
    for n in range(5 * CHUNK):
        file = save(street(32, 32, road=(3 * n, 3 * n, 3 * n)), tmp_path / f"{n:03}.png")
        found.append(Photo(file))
    found[20].file.write_bytes(b"")
    return found


@pytest.mark.parametrize("processes", [1, 2])
def test_order_is_that_of_the_list(photos, processes):
    results = list(prepare_all(photos, 32, 0.0, processes))
    greys = [-1 if result.pixels is None else result.pixels[0, 0, 0] for result in results]
    assert greys == [-1 if n == 20 else 3 * n for n in range(len(photos))]


def test_answers_that_come_out_of_turn_are_put_in_order():
    (ours_a, a), (ours_b, b) = multiprocessing.Pipe(), multiprocessing.Pipe()
    b.send((1, [Prepared(None, fault="second")]))
    b.send((2, [Prepared(None, fault="third")]))
    a.send((0, [Prepared(None, fault="first")]))
    results = in_order([[], [], []], [ours_a, ours_b])
    assert [result.fault for result in results] == ["first", "second", "third"]
    assert [a.recv(), b.recv(), a.recv()] == [(0, []), (1, []), (2, [])]


@pytest.mark.parametrize("message", [b"", b"\0\0", b"\0\0\1\0" + bytes(100)])
def test_process_that_is_killed_amid_an_answer_is_told_in_a_sentence(message):
    ours, theirs = multiprocessing.Pipe()
    os.write(theirs.fileno(), message)
    theirs.close()
    with pytest.raises(DataError, match="was killed, perhaps for lack of memory"):
        list(in_order([[], []], [ours]))


def test_processes_end_when_the_caller_stops(photos):
    before = multiprocessing.active_children()
    with closing(prepare_all(photos, 32, 0.0, 2)) as results:
        next(results)
        assert len(multiprocessing.active_children()) > len(before)
    assert multiprocessing.active_children() == before


def test_killed_process_is_told_in_a_sentence(photos):
    with closing(prepare_all(photos * 20, 32, 0.0, 2)) as results:
        next(results)
        for child in multiprocessing.active_children():
            child.kill()
        with pytest.raises(DataError, match="was killed, perhaps for lack of memory"):
            list(results)


@pytest.fixture
def blocked(photos, tmp_path, cache):
    """A preparation in a session of its own, in the midst of a pipe that never ends.

    The script's processes take the pipe for a file: outside this test a pipe is not opened.
    """
    photos[20].file.unlink()
    os.mkfifo(tmp_path / "zzz.png")
    script = tmp_path / "script.py"
    script.write_text(PREPARE)
    process = subprocess.Popen(
        [sys.executable, script, tmp_path],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    writer = []

    def is_read():
        try:
            writer.append(os.open(tmp_path / "zzz.png", os.O_WRONLY | os.O_NONBLOCK))
        except OSError as error:
            assert error.errno == errno.ENXIO, error
        assert process.poll() is None, process.stderr.read()
        return bool(writer)

    until(is_read)
    until(lambda: list(cache.glob(".*.partial")))
    yield process
    if living(process.pid):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    os.close(writer[0])


def living(session):
    """The processes of a session that have not ended."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, its_session = entry.read_text().rpartition(")")[2].split()[:4]
        except (FileNotFoundError, ProcessLookupError):  # it ended just now
            continue
        if int(its_session) == session and state not in "ZX":
            found.append(entry.parent.name)
    return found


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


@needs_proc
def test_ctrl_c_ends_all_processes_and_leaves_no_half_cache(blocked, cache):
    assert len(living(blocked.pid)) >= 3
    os.killpg(blocked.pid, signal.SIGINT)  # as a terminal does
    _, told = blocked.communicate(timeout=PATIENCE_S)
    assert told.count("Traceback") == told.count("\nKeyboardInterrupt") == 1
    assert blocked.returncode == -signal.SIGINT
    until(lambda: not living(blocked.pid))
    assert list(cache.iterdir()) == []


@needs_proc
def test_killed_preparation_takes_its_processes_along_and_leaves_no_cache(blocked, cache):
    blocked.kill()
    until(lambda: not living(blocked.pid))
    assert not [file for file in cache.iterdir() if not file.name.endswith(".partial")]


def test_ctrl_c_is_heard_again_once_the_processes_are_started(photos):
    started = list(prepare_all(photos, 32, 0.0, 2))
    assert len(started) == len(photos)
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert np.all(started[0].pixels == 0)
