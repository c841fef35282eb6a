"""Real gunicorn processes: what only shows when workers, engine and signals are real."""

import fcntl
import http.client
import io
import json
import os
import random
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from broken_bundles import BROKEN
from bundles import copy_version
from full_disk import fill, needs_mount, small_disk
from PIL import Image

from loadtests.serving import free_port
from server.engine.process import JOIN_S, RETRY_S, SPARE_S
from server.engine.shutdown import DRAIN_S
from tests.chaos.callers import Clients
from tests.chaos.faults import SABOTAGE, held, kill, stopped
from tests.chaos.processes import family, is_whole, open_files
from tests.servers import (
    LARGE_BATCHES,
    PATIENCE_S,
    PYTHON,
    all_workers_connected,
    connected,
    get,
    lines_of,
    serving,
    until,
    victim,
)

pytestmark = pytest.mark.servers
ROOT = Path(__file__).parents[1]


class Caller:
    """One keep-alive connection."""

    def __init__(self, url):
        self.connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE_S)

    def __del__(self):
        self.connection.close()

    def __call__(self, method, path, body=None):
        headers = {"Content-Type": "application/json"} if body is not None else {}
        data = json.dumps(body) if body is not None else None
        self.connection.request(method, path, data, headers)
        response = self.connection.getresponse()
        return response.status, response.read()

    def model(self, seed):
        """Which model draws ``seed``."""
        self.connection.request("GET", f"/v1/images/{seed}.png")
        response = self.connection.getresponse()
        assert response.status == 200, response.read()
        response.read()
        return response.headers["Carfront-Model"]

    def png(self, seed):
        status, data = self("GET", f"/v1/images/{seed}.png")
        assert status == 200, data
        return data

    def npy(self, seed, n):
        status, data = self("POST", "/v1/images", {"seed": seed, "n": n, "format": "npy"})
        assert status == 200, data
        return np.load(io.BytesIO(data))


@pytest.fixture(scope="module")
def runtime_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def shared_server(runtime_dir):
    environ = {"CARFRONT_WORKERS": "3", "CARFRONT_RUNTIME_DIR": str(runtime_dir)}
    with serving(PYTHON, LARGE_BATCHES | environ) as server:
        yield server


@pytest.fixture
def server(shared_server):
    """The server of most tests, whole again after what the test before has done to it."""
    until(lambda: is_whole(shared_server.pid, workers=3))
    return shared_server


@pytest.fixture
def call(server):
    return Caller(server.url)


def test_same_seed_gives_the_same_bytes_whatever_rides_along(server):
    """250 requests of 1 to 200 images by 16 clients; each image is checked against its seed's."""
    rng = random.Random(1)
    jobs = [(rng.randrange(300), rng.choice((0, 0, 0, 0, 0, 1, 2, 30, 200))) for _ in range(250)]
    alone = Caller(server.url)
    golden = alone.npy(0, 500)
    pngs = {seed: alone.png(seed) for seed in range(300)}

    def client(mine):
        caller = Caller(server.url)
        wrong = 0
        for seed, n in mine:
            if n:
                wrong += not (caller.npy(seed, n) == golden[seed : seed + n]).all()
            else:
                wrong += caller.png(seed) != pngs[seed]
        return wrong

    with ThreadPoolExecutor(16) as clients:
        assert sum(clients.map(client, [jobs[i::16] for i in range(16)])) == 0
    for seed in (0, 150, 299):
        assert (np.asarray(Image.open(io.BytesIO(pngs[seed]))) == golden[seed]).all()


@pytest.fixture
def short_path():
    """A folder for sockets, whose paths may have 107 bytes at most: those of pytest are longer."""
    with tempfile.TemporaryDirectory(prefix="cars-") as folder:
        yield Path(folder)


def test_engine_comes_back_although_the_folder_of_temporary_files_is_away(tmp_path, short_path):
    """Heartbeats and gunicorn's own sockets lie there: the folder is made anew."""
    folder, away = short_path / "tmp", short_path / "away"
    folder.mkdir()
    own = {"CARFRONT_RUNTIME_DIR": str(tmp_path / "run"), "TMPDIR": str(folder)}
    with serving(PYTHON, {"CARFRONT_WORKERS": "1"} | own) as server:
        (engine,) = family(server.pid)[1]
        folder.rename(away)
        os.kill(engine, signal.SIGKILL)
        until(lambda: family(server.pid)[1] not in ([], [engine]))
        assert Caller(server.url).png(7).startswith(b"\x89PNG")


def test_killed_engine_loses_no_request(server):
    """Clients ask without pause; the engine is killed under them, twice; every answer is right."""
    alone = Caller(server.url)
    golden = alone.npy(1000, 64)

    def client(first):
        caller = Caller(server.url)
        for i in range(60):
            n = 1 + (first + i) % 40
            assert (caller.npy(1000, n) == golden[:n]).all()
        return True

    with ThreadPoolExecutor(8) as clients:
        answers = [clients.submit(client, first) for first in range(8)]
        for _ in range(2):
            engine = until(lambda: family(server.pid)[1])[0]
            os.kill(engine, signal.SIGKILL)
            until(lambda old=engine: old not in family(server.pid)[1])
            assert alone.npy(1000, 3).shape == (3, 32, 32, 3)
        assert all(answer.result() for answer in answers)
    until(lambda: metric(Caller(server.url), "carfront_engine_restarts_total") >= 2)


def test_server_with_two_engines_is_ready_while_one_of_them_is(tmp_path):
    def numbered(number):
        return int((tmp_path / "processes" / f"engine-{number}").read_text().split()[0])

    def all_are_up(status, body):
        return status == 200 and "engines" not in json.loads(body)

    settings = {"CARFRONT_ENGINES": "2"}
    with victim(PYTHON, tmp_path, worker_count=1, env=settings) as harmed:
        call = Caller(harmed.server.url)
        until(lambda: all_are_up(*call("GET", "/readyz")))
        images = call.npy(0, 100)
        killed, _ = harmed.engines
        number = next(number for number in (0, 1) if numbered(number) == killed)
        with held(harmed, "load") as waiting:
            assert (call.npy(0, 100) == images).all()
            until(lambda: b'"up":1' in call("GET", "/readyz")[1])
            assert call("GET", "/readyz")[0] == 200
            assert metric(call, "carfront_engine_up") == 1
        until(lambda: metric(call, "carfront_engine_up") == 2)
        assert numbered(number) == waiting, "the new engine has not taken the dead one's number"
        assert (call.npy(0, 100) == images).all()


def test_killed_arbiter_of_the_engine_loses_no_request_either(server, call):
    golden = call.npy(5, 4)
    arbiter = family(server.pid)[2][0]
    os.kill(arbiter, signal.SIGKILL)
    until(lambda: family(server.pid)[2] not in ([], [arbiter]))
    for _ in range(30):
        assert (call.npy(5, 4) == golden).all()


def test_arbiter_killed_while_its_engine_loads_leaves_no_process_behind(tmp_path):
    with victim(PYTHON, tmp_path) as harmed:
        png = Caller(harmed.server.url).png(5)
        with held(harmed, "load") as orphan:
            assert harmed.engines == [orphan]
            (arbiter,) = harmed.arbiters
            kill([arbiter])
            until(lambda: harmed.arbiters not in ([], [arbiter]))
        until(harmed.is_whole)
        assert harmed.engines != [orphan]
        assert Caller(harmed.server.url).png(5) == png


def test_engine_that_cannot_load_is_tried_again_after_a_pause(tmp_path):
    def times():
        lines = lines_of(harmed.server.log)
        again = [line for line in lines if f"tried again in {RETRY_S} s" in line["message"]]
        return [datetime.fromisoformat(line["time"]) for line in again]

    with victim(PYTHON, tmp_path, worker_count=1) as harmed:
        spoil_golden_images(harmed.models)
        kill(harmed.engines)
        first, second, *_ = until(lambda: len(times()) >= 2 and times())
        assert (second - first).total_seconds() > RETRY_S


def spoil_golden_images(models):
    """Have version 1 promise images that it does not draw, on no host."""
    spoilt = copy_version(models.with_name("elsewhere"), "1")
    golden = np.load(spoilt / "golden.npy")
    np.save(spoilt / "golden.npy", 255 - golden)
    shutil.rmtree(models / "cars-dcgan" / "1")
    copy_version(models, "1", source=spoilt)


PIPE_BYTES = 4096
LINE_BYTES = 300
"""No line of the access log is longer."""
PAUSE_S = 6.0
"""How long the log is not read: gunicorn looks at the workers several times meanwhile."""


class LogReader:
    """Reads a server's log from a pipe that is full after a few lines, but not before it is told.

    ``python`` is an interpreter that has gunicorn log each request, into that pipe.
    """

    def __init__(self, folder):
        path, self.python = folder / "log", folder / "python"
        os.mkfifo(path)
        self._pipe = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self.python.write_text(f'#!/bin/sh\nexec {PYTHON} "$@" --access-logfile - > {path}\n')
        self.python.chmod(0o755)

    @contextmanager
    def read_meanwhile(self):
        """Have the log read until the block ends: a server that starts slowly logs much."""
        over = threading.Event()

        def read_on():
            while not over.wait(0.02):
                self._read()

        thread = threading.Thread(target=read_on)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _read(self):
        with suppress(BlockingIOError):  # nothing was logged yet
            os.read(self._pipe, 2**16)

    def make_small(self):
        """Read what is there, and have no more than a few lines fit."""
        self._read()
        fcntl.fcntl(self._pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def is_full(self):
        unread = fcntl.ioctl(self._pipe, termios.FIONREAD, bytes(4))
        return int.from_bytes(unread, sys.byteorder) > PIPE_BYTES - LINE_BYTES

    def read_to_the_end(self):
        """Read until the server has ended."""
        os.set_blocking(self._pipe, True)
        with os.fdopen(self._pipe, "rb") as pipe:
            return pipe.read()


def test_http_worker_that_waits_for_the_reader_of_its_log_is_not_replaced(tmp_path):
    log = LogReader(tmp_path)
    settings = {"CARFRONT_WORKERS": "2", "GUNICORN_CMD_ARGS": "--timeout 60"}
    with ThreadPoolExecutor(7) as beside, ExitStack() as stack:
        with log.read_meanwhile():
            server = stack.enter_context(serving(log.python, settings))
        log.make_small()
        before = family(server.pid)
        callers = [Caller(server.url) for _ in range(6)]
        asked = [beside.submit(lambda ask=ask: [ask.png(5) for _ in range(20)]) for ask in callers]
        until(log.is_full)
        time.sleep(PAUSE_S)  # the case itself, not a wait for something
        waited = not all(each.done() for each in asked)
        beside.submit(log.read_to_the_end)
        assert all(len(each.result()) == 20 for each in asked)
        assert family(server.pid) == before
    assert waited, "the log was never too long for its pipe"


def test_removed_socket_keeps_no_new_worker_out(server, runtime_dir):
    (runtime_dir / "engine-0" / "engine.sock").unlink()
    (worker, *_), _, _ = family(server.pid)
    os.kill(worker, signal.SIGKILL)
    until(lambda: worker not in family(server.pid)[0] and is_whole(server.pid, workers=3))
    for _ in range(12):  # by whichever worker accepts
        assert Caller(server.url).png(5)


@needs_mount
def test_full_dev_shm_is_of_no_concern(tmp_path):
    """Shared memory is the processes' own (memfd), not files in a place that others fill."""
    python = tmp_path / "python"
    python.write_text(
        "#!/bin/sh\n"
        "mount -t tmpfs -o size=4k none /dev/shm && echo full > /dev/shm/file && "
        f'! head -c 8192 /dev/zero 2>&- > /dev/shm/more 2>&- && exec {PYTHON} "$@"\n'
    )
    python.chmod(0o755)
    alone = tmp_path / "alone"
    alone.write_text(f'#!/bin/sh\nexec unshare --mount {python} "$@"\n')
    alone.chmod(0o755)
    with serving(alone, {"CARFRONT_WORKERS": "2"}) as server:
        clients = Clients(server.url, Caller(server.url).npy(0, 64), count=6)
        try:
            kill(family(server.pid)[1])  # the next engine needs memory of its own
            until(lambda: clients.counts["requests"] + clients.counts["errors"] >= 100)
        finally:
            clients.stop()
        assert (clients.errors, clients.counts["wrong answers"]) == ([], 0)
        assert Caller(server.url).npy(0, 4096).shape == (4096, 32, 32, 3)


def remove(folder):
    """Remove a folder, which the server writes to meanwhile."""
    until(lambda: shutil.rmtree(folder, ignore_errors=True) or not folder.exists())


def replace_by_a_file(folder):
    """Have a file in the place of a folder, until ``give_back`` is called."""
    folder.rename(folder.with_name(f"{folder.name}.away"))
    folder.touch()


def give_back(folder):
    """Have the folder again that ``replace_by_a_file`` took."""
    away = folder.with_name(f"{folder.name}.away")
    if away.exists():
        folder.unlink()
        away.rename(folder)


def replace_workers(server):
    """Have all HTTP workers replaced, one that was killed and the others by a reload."""
    old = family(server.pid)[0]
    os.kill(old[0], signal.SIGKILL)
    until(lambda: old[0] not in (now := family(server.pid)[0]) and len(now) == len(old))
    os.kill(server.pid, signal.SIGHUP)
    until(lambda: not set(old) & set(now := family(server.pid)[0]) and len(now) == len(old))
    assert Caller(server.url)("GET", "/healthz")[0] == 200  # from a new one, which has started


@pytest.mark.parametrize(
    ("lost", "harm"),
    [
        ("metrics", remove),
        ("engine-0", remove),
        (".", remove),
        ("metrics", replace_by_a_file),
        (".", replace_by_a_file),
    ],
)
def test_server_outlives_the_loss_of_a_folder(tmp_path, lost, harm):
    folder = tmp_path / "run" / lost
    settings = {"CARFRONT_WORKERS": "2", "CARFRONT_RUNTIME_DIR": str(tmp_path / "run")}
    with serving(PYTHON, settings) as server:
        golden = Caller(server.url).npy(5, 3)
        _, engines, arbiters = family(server.pid)
        harm(folder)
        for _ in range(4):
            assert (Caller(server.url).npy(5, 3) == golden).all()
        replace_workers(server)
        give_back(folder)
        until(lambda: is_whole(server.pid, workers=2))
        assert family(server.pid)[1:] == (engines, arbiters), "the healthy engine was replaced"
        kill(engines)
        until(lambda: family(server.pid)[1] not in ([], engines))
        replace_workers(server)
        until(lambda: is_whole(server.pid, workers=2))
        assert (Caller(server.url).npy(5, 3) == golden).all()
        assert metric(Caller(server.url), "carfront_images_total") > 0
        assert "Traceback" not in server.log.read_text()


@needs_mount
def test_server_outlives_a_full_disk(tmp_path):
    """New series, new HTTP workers and a reload, while the runtime directory takes no byte more."""
    with small_disk(tmp_path / "run", kib=4096) as disk, ExitStack() as stack:
        settings = {"CARFRONT_WORKERS": "2", "CARFRONT_RUNTIME_DIR": str(disk / "carfront")}
        server = stack.enter_context(serving(PYTHON, settings))
        golden = Caller(server.url).npy(5, 3)
        fill(disk)

        def asks_all_kinds():
            call = Caller(server.url)
            for method in ("GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
                for path in ("/", "/nothing", "/v1/images", "/v1/images/x.png", "/v2/models"):
                    assert call(method, path)[0] < 500
            assert (call.npy(5, 3) == golden).all()
            assert call("GET", "/metrics")[0] == 200

        before = family(server.pid)
        for _ in range(10):
            asks_all_kinds()
        assert family(server.pid) == before
        replace_workers(server)
        until(lambda: is_whole(server.pid, workers=2))
        asks_all_kinds()
        kill(before[1])
        until(lambda: family(server.pid)[1] not in ([], before[1]))
        asks_all_kinds()
        assert "Traceback" not in server.log.read_text()


def test_worker_that_cannot_start_does_not_end_a_server_that_serves():
    """For a while the arbiter may open no more files: it forks, but its children cannot start."""
    with serving(PYTHON, {"CARFRONT_WORKERS": "2"}) as server:
        png = Caller(server.url).png(3)
        kept, killed = family(server.pid)[0]
        before = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        opened = max(int(fd.name) for fd in Path(f"/proc/{server.pid}/fd").iterdir())
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (opened + 2, before[1]))
        os.kill(killed, signal.SIGKILL)
        until(lambda: server.log.read_text().count("an HTTP worker is tried again") >= 2)
        assert Caller(server.url).png(3) == png
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, before)
        until(lambda: is_whole(server.pid, workers=2))
        assert kept in family(server.pid)[0]


def test_worker_comes_back_although_the_folder_of_temporary_files_was_away(tmp_path, short_path):
    folder, away = short_path / "tmp", short_path / "away"
    folder.mkdir()
    own = {"CARFRONT_RUNTIME_DIR": str(tmp_path / "run"), "TMPDIR": str(folder)}
    with serving(PYTHON, {"CARFRONT_WORKERS": "1"} | own) as server:
        (worker,), _, (arbiter,) = family(server.pid)
        folder.rename(away)
        os.kill(worker, signal.SIGKILL)
        os.kill(arbiter, signal.SIGKILL)
        until(lambda: "an HTTP worker could not be started" in server.log.read_text())
        until(lambda: "the engines' arbiter could not be started" in server.log.read_text())
        away.rename(folder)
        until(lambda: all(family(server.pid)))
        assert Caller(server.url).png(7).startswith(b"\x89PNG")


def test_server_whose_paths_are_too_long_for_sockets_serves(tmp_path):
    """A socket's address has 107 bytes at most."""
    run = tmp_path / ("x" * 120)
    with serving(PYTHON, {"CARFRONT_WORKERS": "1", "CARFRONT_RUNTIME_DIR": str(run)}) as server:
        assert Caller(server.url).png(7).startswith(b"\x89PNG")
        assert oct(run.stat().st_mode & 0o777) == "0o700"
        assert {oct(each.stat().st_mode & 0o777) for each in run.iterdir()} == {"0o700"}


def test_log_says_where_the_server_is_and_how_to_ask_it(tmp_path, short_path):
    python, path = tmp_path / "python", short_path / "http.sock"
    python.write_text(
        f'#!/bin/sh\nexec {PYTHON} "$@" --bind "$CARFRONT_HOST:$CARFRONT_PORT" --bind unix:{path}\n'
    )
    python.chmod(0o755)
    with serving(python, {"CARFRONT_WORKERS": "1"}) as server:
        told = server.log.read_text()
        assert f"cars-dcgan on {server.url}; try: curl {server.url}/v1/images/7.png -o" in told
        ask = f"curl --unix-socket {path} http://localhost/v1/images/7.png -o"
        assert f"cars-dcgan on unix:{path}; try: {ask}" in told
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            connection.sendall(b"GET /v1/images/7.png HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.recv(4096).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize(("soft", "hard", "warns"), [(200, 4000, False), (200, 300, True)])
def test_server_may_open_as_many_files_as_its_connections_need_or_says_so(
    tmp_path, soft, hard, warns
):
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nulimit -Sn {soft} && ulimit -Hn {hard} && exec {PYTHON} "$@"\n')
    python.chmod(0o755)
    with serving(python, {"CARFRONT_WORKERS": "1"}) as server:
        for process in sum(family(server.pid), [server.pid]):
            assert resource.prlimit(process, resource.RLIMIT_NOFILE)[0] == min(hard, 1164)
        told = server.log.read_text()
        assert ("set ulimit -n to 1164" in told) == warns
        limits = f"connections of an HTTP worker: 1000 at most; ulimit -n: {min(hard, 1164)}"
        assert told.count(limits) == 1


def test_killed_worker_is_replaced_and_takes_over_its_metrics(server, call, runtime_dir):
    png = call.png(3)
    slots = {f"http-{number}" for number in range(3)}

    def kill_one():
        """Kill an HTTP worker; return when another one serves in its place."""
        victim = family(server.pid)[0][0]
        os.kill(victim, signal.SIGKILL)
        until(lambda: len(set(family(server.pid)[0]) - {victim}) == 3)
        until(lambda: all_workers_connected(server.pid))

    def slots_of_metrics():
        names = (each.stem for each in (runtime_dir / "metrics").iterdir())
        return {name.rpartition("_")[2] for name in names if "http" in name}

    for _ in range(2):
        kill_one()
        for _ in range(10):
            assert Caller(server.url).png(3) == png
        assert slots_of_metrics() == slots, "it did not take the dead one's slot"


def metric(call, name):
    text = call("GET", "/metrics")[1].decode()
    name, _, labels = name.partition("{")
    pattern = rf"^{name}(?:{{.*{re.escape(labels.rstrip('}'))}.*}})? (\S+)$"
    return sum(float(x) for x in re.findall(pattern, text, re.MULTILINE))


def test_metrics_add_up_over_all_workers(server, call):
    before = metric(call, "carfront_images_total")
    for n in (1, 10, 100):
        Caller(server.url).npy(0, n)  # a connection of its own may reach another worker
    assert metric(call, "carfront_images_total") == before + 111
    assert metric(call, "carfront_engine_up") == 1
    until(lambda: metric(Caller(server.url), "carfront_model_info") == 1)
    assert metric(call, "carfront_plan_info") == 1


def test_every_process_is_measured(server, call):
    text = call("GET", "/metrics")[1].decode()
    pattern = r'carfront_process_resident_memory_bytes{process="(.*?)"} (\S+)'
    memory = dict(re.findall(pattern, text))
    assert set(memory) == {"arbiter", "engine-0", "http-0", "http-1", "http-2"}
    assert all(float(value) > 10e6 for value in memory.values())
    assert metric(call, "carfront_process_cpu_seconds_total") > 0.5
    assert metric(call, "carfront_process_open_fds") > 5 * 3


def test_reload_serves_on_and_counts_on(server, runtime_dir):
    png = Caller(server.url).png(3)
    images = metric(Caller(server.url), "carfront_images_total")
    old, engines, _ = map(set, family(server.pid))
    os.kill(server.pid, signal.SIGHUP)
    asked = 0
    while old & set(family(server.pid)[0]):
        assert Caller(server.url).png(3) == png
        asked += 1
        assert asked < 20_000, "the old workers did not go"
    assert metric(Caller(server.url), "carfront_images_total") == images + asked
    assert metric(Caller(server.url), "carfront_batch_rows_sum") >= asked
    assert engines <= set(family(server.pid)[1])  # as the log says: only a restart replaces them
    assert "engines stay" in server.log.read_text()


def test_waiting_requests_share_batches(server, call):
    batches = metric(call, "carfront_batch_rows_count")
    with ThreadPoolExecutor(32) as clients:
        list(clients.map(lambda seed: [Caller(server.url).png(seed)] * 5, range(320)))
    assert metric(call, "carfront_batch_rows_count") - batches < 320


def test_caller_that_hangs_up_frees_the_queue(server, call):
    waiting = partial(metric, call, "carfront_queue_rows")
    dropped = partial(metric, call, 'carfront_dropped_total{reason="client_gone"}')
    before = dropped()

    def hang_up():
        """Have callers hang up, most of whom wait unless this process was paused meanwhile."""
        gone = [Caller(server.url) for _ in range(6)]
        for caller in gone:
            body = json.dumps({"n": 4096, "seed": 1, "format": "npy"})
            headers = {"Content-Type": "application/json", "X-Request-Timeout-Ms": "600000"}
            caller.connection.request("POST", "/v1/images", body, headers)  # never too much to ask
        answers = [caller.connection.sock for caller in gone]
        until(lambda: waiting() > 4096 or select.select(answers, [], [], 0)[0])  # two fit one arena
        for caller in gone:
            caller.connection.close()
        until(lambda: dropped() > before or not waiting())
        return dropped() > before

    until(hang_up)
    assert call.npy(5, 4).shape == (4, 32, 32, 3)


def test_log_is_json_where_nobody_watches(server, call):
    call.png(3)
    lines = lines_of(server.log)
    assert {"time", "level", "pid", "logger", "message"} <= set(lines[0])
    assert any("serving cars-dcgan" in line["message"] for line in lines)
    assert any(line["logger"] == "gunicorn.error" for line in lines)
    assert not any("/v1/images" in line["message"] and "GET" in line["message"] for line in lines)
    assert len({json.dumps(line) for line in lines}) == len(lines), "a line was logged twice"


def test_second_server_leaves_the_first_one_alone(server):
    before = family(server.pid)
    with serving(PYTHON, {"CARFRONT_WORKERS": "1"}) as second:
        assert Caller(second.url).png(3) == Caller(server.url).png(3)
        assert family(server.pid) == before


def test_only_http_workers_hold_the_http_port(server):
    tables = [Path("/proc/net/tcp"), Path("/proc/net/tcp6")]
    rows = [row.split() for table in tables for row in table.read_text().splitlines()[1:]]
    listening = {f"socket:[{row[9]}]" for row in rows if row[3] == "0A"}

    def holds_it(pid):
        return any(name in listening for name, _ in open_files(pid))

    workers, engines, arbiters = family(server.pid)
    assert all(map(holds_it, workers))
    assert not any(map(holds_it, engines + arbiters))


def test_connection_that_asks_for_nothing_is_closed(tmp_path):
    """Whether it never asked, asks no more, or stops in the middle of its headers."""
    line = b"GET /healthz HTTP/1.1\r\nHost: cars\r\n"
    soon = {"CARFRONT_KEEPALIVE_S": "3", "CARFRONT_READ_TIMEOUT_S": "3"}
    with serving(PYTHON, {"CARFRONT_WORKERS": "1"} | soon) as server:
        for sent in (b"", line + b"\r\n", line, line + b"\r\n" + line):
            with connected(server) as connection:
                connection.sendall(sent)
                answer = b"".join(iter(lambda: connection.recv(4096), b""))  # to its end
            assert answer.count(b"200 OK") == sent.count(b"\r\n\r\n"), sent


def test_sigterm_closes_idle_connections_at_once():
    """Long before an idle connection ends by itself, or a server that stops gives up."""
    with ExitStack() as stack:
        with serving(PYTHON, {"CARFRONT_WORKERS": "1"}) as server:
            idle = stack.enter_context(connected(server))
            idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: cars\r\n\r\n")
            answer = b""
            while b"live" not in answer:
                answer += idle.recv(4096)
        assert not idle.recv(4096)


def test_sigterm_reaches_a_worker_that_has_just_been_forked():
    with serving(PYTHON, {"CARFRONT_WORKERS": "2"}) as server:
        before = family(server.pid)[0]
        os.kill(before[0], signal.SIGKILL)
        until(lambda: len(set(family(server.pid)[0]) - set(before)) == 1)


@pytest.mark.parametrize(
    "request_",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST / HTTP/1.1\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    ],
    ids=["method", "version", "length", "long-line", "long-header", "two-lengths", "space"],
)
def test_what_is_not_http_is_refused_and_no_more(server, call, request_):
    with connected(server) as connection:
        connection.sendall(request_)
        assert re.match(rb"HTTP/1\.1 (4\d\d|505) ", connection.recv(4096))
    assert call("GET", "/healthz")[0] == 200


def test_sigterm_finishes_what_was_accepted(tmp_path):
    settings = {"CARFRONT_WORKERS": "2", "CARFRONT_PROVIDER": "cpu"}
    with ThreadPoolExecutor(4) as clients:
        with serving(PYTHON, settings) as server:
            callers = [Caller(server.url) for _ in range(4)]
            golden = callers[0].npy(0, 64)
            with stopped(family(server.pid)[1]):
                big = [clients.submit(caller.npy, 0, 400) for caller in callers]
                until(lambda: metric(Caller(server.url), "carfront_requests_in_flight") == 4)
            until(lambda: metric(Caller(server.url), "carfront_batch_rows_sum") > 64)
        for answer in big:
            images = answer.result()
            assert images.shape == (400, 32, 32, 3)
            assert (images[:64] == golden).all()


def test_engine_drains_for_nearly_as_long_as_gunicorn_lets_it():
    settings = (ROOT / "server" / "gunicorn.conf.py").read_text()
    (graceful_s,) = map(int, re.findall(r"^graceful_timeout = (\d+)$", settings, re.MULTILINE))
    assert re.search(r"^dirty_graceful_timeout = graceful_timeout$", settings, re.MULTILINE)
    assert graceful_s - SPARE_S == DRAIN_S
    assert JOIN_S < SPARE_S <= 1


def refuses(server):
    """Whether nobody listens at ``server`` any more."""
    try:
        connected(server).close()
    except ConnectionRefusedError:
        return True
    return False


def test_sigterm_while_no_engine_is_ready_loses_nothing_that_was_accepted(tmp_path):
    with ThreadPoolExecutor(1) as beside:
        with victim(PYTHON, tmp_path, worker_count=1) as harmed:
            right = [Caller(harmed.server.url).png(seed) for seed in range(8)]
            hold = ExitStack()
            hold.enter_context(held(harmed, "load"))
            callers = [Caller(harmed.server.url) for _ in right]
            for seed, caller in enumerate(callers):
                caller.connection.request("GET", f"/v1/images/{seed}.png")
            assert Caller(harmed.server.url)("GET", "/healthz")[0] == 200  # accepted after them

            def release():
                with hold:
                    until(lambda: refuses(harmed.server))

            released = beside.submit(release)
        released.result()
    answers = [caller.connection.getresponse() for caller in callers]
    assert [answer.read() for answer in answers] == right


def test_sigterm_ends_an_idle_server_whose_engine_loads(tmp_path):
    """The engine loads for ever: a server that waits for it does not stop in time."""
    with ExitStack() as hold, victim(PYTHON, tmp_path) as harmed:
        hold.enter_context(held(harmed, "load"))


def test_sigterm_is_not_forgotten_by_an_engine_that_is_not_there_yet(tmp_path):
    """gunicorn notes one that comes before its loop runs, and does nothing about it."""
    with ThreadPoolExecutor(1) as beside:
        with victim(PYTHON, tmp_path) as harmed:
            hold = ExitStack()
            hold.enter_context(held(harmed, "import"))

            def release():
                with hold:
                    until(lambda: not harmed.workers)

            released = beside.submit(release)
        released.result()


def ask_until_closed(url, golden, number, answered):
    """Ask without pause, compare what comes, and return when the request was sent that nobody took.

    Raises:
        AssertionError, HTTPException: an answer was wrong, or half of one.
    """
    caller, rng = Caller(url), random.Random(number)
    while True:
        n = rng.choice((1, 1, 1, 8, 64))
        body = json.dumps({"seed": rng.randrange(len(golden) - n + 1), "n": n, "format": "npy"})
        fields = {"Content-Type": "application/json"}
        try:
            try:
                caller.connection.request("POST", "/v1/images", body, fields)
            finally:
                sent = time.monotonic()
            response = caller.connection.getresponse()
        except ConnectionError:
            return sent
        images = response.read()
        assert response.status == 200, images
        seed = json.loads(body)["seed"]
        assert (np.load(io.BytesIO(images)) == golden[seed : seed + n]).all()
        answered[number] += 1


@pytest.mark.parametrize("engine", ["ready", "killed"])
def test_sigterm_under_load_answers_every_request_that_was_sent_before(tmp_path, engine):
    answered = Counter()
    with ThreadPoolExecutor(8) as clients:
        with victim(PYTHON, tmp_path) as harmed:
            golden = Caller(harmed.server.url).npy(0, 256)
            ask = partial(ask_until_closed, harmed.server.url, golden, answered=answered)
            loops = [clients.submit(ask, number) for number in range(8)]
            until(lambda: all(answered[number] > 10 for number in range(8)))
            if engine == "killed":
                (old,) = harmed.engines
                kill([old])
                until(lambda: harmed.engines not in ([], [old]))
            stopped = time.monotonic()
        assert all(loop.result() > stopped for loop in loops)


class Repository:
    """A server whose repository changes under clients that ask without pause."""

    def __init__(self, folder):
        self.models = folder / "models"
        copy_version(self.models, "1")
        self.settings = {
            "CARFRONT_WORKERS": "2",
            "CARFRONT_MODELS": str(self.models),
            "CARFRONT_POLL_S": "1",
            "CARFRONT_ADMIN_TOKEN": "secret",
        }

    def index_with(self, server, version, why):
        """Return the index if the HTTP worker that is asked knows that ``version`` is refused, and
        ``why``; an engine that has not looked at it yet says that nobody has asked for it."""
        status, body = Caller(server.url)("POST", "/v2/repository/index", {})
        assert status == 200
        found = {f"{x['name']}/{x['version']}": x for x in json.loads(body)}
        return found if why in found.get(version, {}).get("reason", "") else None

    def administer(self, server, action, version, token="secret"):
        caller = Caller(server.url)
        body = json.dumps({"parameters": {"version": version}})
        path = f"/v2/repository/models/cars-dcgan/{action}"
        caller.connection.request("POST", path, body, {"Authorization": f"Bearer {token}"})
        response = caller.connection.getresponse()
        return response.status, json.loads(response.read())


@contextmanager
def asking(server, clients=6):
    """Have clients ask for images until the block ends; yields what each model drew of a seed.

    Raises:
        AssertionError: an answer was no image, or another than the same model drew before.
    """
    drawn, stop = {}, threading.Event()

    def loop(number):
        caller, rng = Caller(server.url), random.Random(number)
        while not stop.is_set():
            seed = rng.randrange(32)
            caller.connection.request("GET", f"/v1/images/{seed}.png")
            response = caller.connection.getresponse()
            body = response.read()
            assert response.status == 200, body
            model = response.headers["Carfront-Model"]
            assert drawn.setdefault((model, seed), body) == body
        return True

    with ThreadPoolExecutor(clients) as pool:
        loops = [pool.submit(loop, number) for number in range(clients)]
        try:
            yield drawn
        finally:
            stop.set()
        assert all(each.result() for each in loops)


@pytest.mark.parametrize("engines", [1, 2])
def test_versions_come_and_go_under_load_without_a_failed_request(tmp_path, engines):
    repository = Repository(tmp_path)
    settings = repository.settings | {"CARFRONT_ENGINES": str(engines)}
    with serving(PYTHON, settings) as server, asking(server) as drawn:

        def answering(version):
            return lambda: Caller(server.url).model(5) == f"cars-dcgan/{version}"

        until(lambda: metric(Caller(server.url), "carfront_engine_up") == engines)
        assert answering(1)()
        newer = copy_version(repository.models, "2", brighter=True)
        until(answering(2))
        spoilt = copy_version(tmp_path / "elsewhere", "3")
        (spoilt / "generator.onnx").write_bytes(b"no graph")
        shutil.move(spoilt, repository.models / "cars-dcgan")
        refused = 'carfront_model_refused{model="cars-dcgan",version="3"}'
        until(lambda: metric(Caller(server.url), refused) == 1)
        why = "is not what was exported"
        found = until(lambda: repository.index_with(server, "cars-dcgan/3", why))
        assert found["cars-dcgan/3"]["state"] == "UNAVAILABLE"
        assert found["cars-dcgan/2"]["state"] == "READY"
        until(lambda: all(answering(2)() for _ in range(20)))  # by whichever worker accepts
        os.kill(family(server.pid)[1][0], signal.SIGKILL)  # the next engine serves the same
        assert answering(2)()
        shutil.rmtree(newer)
        until(answering(1))
    models = {model for model, _ in drawn}
    assert models == {"cars-dcgan/1", "cars-dcgan/2"}
    seed = next(seed for model, seed in drawn if ("cars-dcgan/2", seed) in drawn)
    assert drawn["cars-dcgan/1", seed] != drawn["cars-dcgan/2", seed]


def test_administrators_load_and_unload_and_sighup_looks_for_new_versions(tmp_path):
    repository = Repository(tmp_path)
    copy_version(repository.models, "2", brighter=True)
    settings = repository.settings | {"CARFRONT_VERSION": "1", "CARFRONT_POLL_S": "0"}
    settings["CARFRONT_WORKERS"] = "1"  # the one that said it was ready is the one that is asked
    with serving(PYTHON, settings) as server:
        versioned = "/v1/models/cars-dcgan/versions/2/images/5.png"
        assert Caller(server.url)("GET", versioned)[0] == 503
        assert repository.administer(server, "load", "2", token="guessed")[0] == 401
        assert repository.administer(server, "load", "7")[0] == 404
        with asking(server):
            assert repository.administer(server, "load", "2") == (200, {})
            assert Caller(server.url)("GET", versioned)[1] != Caller(server.url).png(5)
            assert Caller(server.url).model(5) == "cars-dcgan/1"
            assert repository.administer(server, "unload", "2") == (200, {})
        assert Caller(server.url)("GET", versioned)[0] == 503
        status, body = repository.administer(server, "unload", "1")
        assert (status, "the server's settings want it" in body["error"]) == (400, True)
        shutil.rmtree(repository.models / "cars-dcgan" / "1")
        copy_version(repository.models, "1", brighter=True)
        png = Caller(server.url).png(5)
        os.kill(server.pid, signal.SIGHUP)
        until(lambda: Caller(server.url).png(5) != png)


def test_start_beside_bad_newest_versions_serves_the_newest_whole_one(tmp_path):
    """Whatever they have in place of a manifest, golden images and weights."""
    models = tmp_path / "models"
    copy_version(models, "1")
    ways = ("manifest: deep", "manifest.json is a pipe", "golden images: an npz")
    ways += ("golden images: a claim of a terabyte", "graph: weights above", "golden.npy is a pipe")
    for number, how in enumerate(ways, 2):
        BROKEN[how](copy_version(models, str(number)))
    with serving(PYTHON, {"CARFRONT_WORKERS": "1", "CARFRONT_MODELS": str(models)}) as server:
        assert Caller(server.url).model(5) == "cars-dcgan/1"
        assert metric(Caller(server.url), "carfront_model_refused") == len(ways)
        BROKEN["manifest.json is a pipe"](copy_version(models, "99"))
        os.kill(server.pid, signal.SIGHUP)
        until(lambda: metric(Caller(server.url), "carfront_model_refused") == len(ways) + 1)
        copy_version(models, "100")
        os.kill(server.pid, signal.SIGHUP)
        until(lambda: Caller(server.url).model(5) == "cars-dcgan/100")
        assert "Traceback" not in server.log.read_text()


HANGING = str(ROOT / "tests" / "hanging_volume.py")
ONLY_ROOT_WITH_FUSE = pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/dev/fuse").exists(), reason="only root may mount, with FUSE"
)


@ONLY_ROOT_WITH_FUSE
def test_volume_that_hangs_stops_nothing_that_is_served_and_is_read_once_it_answers(tmp_path):
    alone = tmp_path / "alone"
    alone.write_text(f'#!/bin/sh\nexec unshare --mount {PYTHON} "$@"\n')
    alone.chmod(0o755)
    repository = Repository(tmp_path)
    settings = repository.settings | {"CARFRONT_POLL_S": "0", "CARFRONT_WORKERS": "1"}
    with serving(alone, settings) as server:
        png = Caller(server.url).png(5)
        hang = ["nsenter", f"--mount=/proc/{server.pid}/ns/mnt", sys.executable, HANGING]
        with subprocess.Popen(
            [*hang, str(repository.models)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as volume:
            volume.stdout.readline()
            os.kill(server.pid, signal.SIGHUP)
            until(lambda: "what is served stays as it is" in server.log.read_text())
            status, body = repository.administer(server, "load", "1")
            assert (status, "earlier read still has no answer" in body["error"]) == (400, True)
            assert Caller(server.url).png(5) == png
            assert "Traceback" not in server.log.read_text()
        copy_version(repository.models, "2", brighter=True)
        until(lambda: Caller(server.url).model(5) == "cars-dcgan/2")


@ONLY_ROOT_WITH_FUSE
def test_start_from_a_volume_that_hangs_ends_with_one_sentence(tmp_path):
    command = [sys.executable, HANGING, str(tmp_path), PYTHON, "-m", "gunicorn"]
    ended = subprocess.run(
        ["unshare", "--mount", *command, "-c", "server/gunicorn.conf.py"],
        cwd=ROOT,
        env={
            **os.environ,
            "CARFRONT_MODELS": str(tmp_path),
            "CARFRONT_PORT": str(free_port()),
        },
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert ended.returncode == 1
    assert f"carfront cannot start: {tmp_path} cannot be read: there is no ans" in ended.stderr
    assert "Traceback" not in ended.stderr


def sabotaged(folder, *loads):
    """Return the settings of a server whose next loads meet ``loads``, see ``sabotage``."""
    (folder / "sabotage.loads").write_text("\n".join(loads))
    return {
        "CARFRONT_MODELS": str(folder / "models"),
        "CARFRONT_WORKERS": "1",
        "PYTHONPATH": str(SABOTAGE),
        "SABOTAGE": str(folder / "sabotage"),
    }


def test_first_start_waits_for_the_newest_version_although_engines_are_killed_at_it(tmp_path):
    for version in "12":
        copy_version(tmp_path / "models", version, brighter=version == "2")
    kills = [str(int(signal.SIGKILL))] * 3
    with serving(PYTHON, sabotaged(tmp_path, *kills)) as server:
        assert Caller(server.url).model(5) == "cars-dcgan/2"
        assert metric(Caller(server.url), 'carfront_engine_deaths_total{cause="killed"}') == 3
        log = server.log.read_text()
    assert "serving cars-dcgan/1" not in log
    assert "engine-0 has died, killed (signal 9)" in log
    assert "engines that loaded it before: 3 killed (signal 9" in log


def test_version_that_engines_crash_of_gives_way_to_the_one_before(tmp_path):
    for version in "12":
        copy_version(tmp_path / "models", version, brighter=version == "2")
    crashes = [str(int(signal.SIGSEGV))] * 2
    with serving(PYTHON, sabotaged(tmp_path, *crashes)) as server:
        assert Caller(server.url).model(5) == "cars-dcgan/1"
        assert metric(Caller(server.url), 'carfront_engine_deaths_total{cause="crashed"}') == 2
        assert metric(Caller(server.url), "carfront_model_refused") == 1


def test_engine_that_is_at_work_on_a_load_is_not_killed_for_its_silence(tmp_path):
    """With Python's lock held for 8 s, beside limits of 6 s; at the start, and beside another."""
    for number in range(3):  # a machine that stands still beside it may be taken for the engine
        killed = killed_at_loads(tmp_path / f"{number}")
        if not any(killed):
            break
    assert not any(killed), killed


def killed_at_loads(folder):
    """Return what tells of engines that were killed, while two loads of one held Python's lock.

    The processes that are gone, the deaths that are counted, and those that gunicorn's log has.
    """
    copy_version(folder / "models", "1")
    settings = sabotaged(folder, "spin") | {"CARFRONT_BATCH_TIMEOUT_MS": "4000"}
    with serving(PYTHON, settings) as server:
        engines = family(server.pid)[1]
        (folder / "sabotage.loads").write_text("spin")
        copy_version(folder / "models", "2")
        os.kill(server.pid, signal.SIGHUP)
        served = f"{server.url}/v2/models/cars-dcgan"  # no batch runs when the lock is taken
        until(lambda: "2" in json.loads(get(served))["versions"])
        until(lambda: Caller(server.url).model(5) == "cars-dcgan/2")
        return (
            set(engines) ^ set(family(server.pid)[1]),
            metric(Caller(server.url), "carfront_engine_deaths_total"),
            server.log.read_text().count("WORKER TIMEOUT"),
        )


def start(**environ):
    return subprocess.run(
        [PYTHON, "-m", "gunicorn", "-c", "server/gunicorn.conf.py"],
        cwd=ROOT,
        env={**os.environ, "CARFRONT_PORT": str(free_port()), **environ},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"CARFRONT_PORT": "http"}, "CARFRONT_PORT is 'http'; wanted a whole number"),
        ({"CARFRONT_MODEL": "boats"}, "has no bundle boats/latest; it has cars-dcgan/"),
        ({"CARFRONT_MODELS": "nowhere"}, "it has none at all"),
        ({"CARFRONT_RUNTIME_DIR": "README.md"}, "CARFRONT_RUNTIME_DIR is 'README.md'; wanted a"),
        ({"CARFRONT_RUNTIME_DIR": "README.md/x"}, "CARFRONT_RUNTIME_DIR is 'README.md/x'; wanted"),
        ({"CARFRONT_RUNTIME_DIR": "/proc/x"}, "CARFRONT_RUNTIME_DIR is '/proc/x'; wanted a"),
    ],
)
def test_setting_that_cannot_work_stops_the_boot_with_one_sentence(environ, told):
    ended = start(**environ)
    assert ended.returncode != 0
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr


def test_folder_of_temporary_files_that_is_too_long_stops_the_boot_with_one_sentence(tmp_path):
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    ended = start(TMPDIR=str(folder))
    assert ended.returncode != 0
    assert f"TMPDIR is '{folder}'; wanted a path of at most" in ended.stderr
    assert "Traceback" not in ended.stderr


@needs_mount
def test_full_runtime_directory_stops_the_boot_with_one_sentence(tmp_path):
    with small_disk(tmp_path / "run", kib=64) as disk:
        fill(disk)
        ended = start(CARFRONT_RUNTIME_DIR=str(disk))
    assert ended.returncode != 0
    assert f"CARFRONT_RUNTIME_DIR is '{disk}'; wanted a directory" in ended.stderr
    assert "No space left" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_altered_bundle_stops_the_boot(tmp_path):
    source = min((ROOT / "models" / "cars-dcgan").iterdir())
    target = tmp_path / "cars-dcgan" / source.name
    target.mkdir(parents=True)
    for file in source.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    with (target / "golden.npy").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x7f")
    ended = start(CARFRONT_MODELS=str(tmp_path))
    assert ended.returncode != 0
    assert "golden.npy is not what was exported" in ended.stderr
