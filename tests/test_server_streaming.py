"""Large answers of a real server, whose callers read fast, slowly or not at all.

Memory stays flat, and what dies meanwhile costs the caller time, or its connection, and never a
byte.
"""

import hashlib
import json
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from http.client import HTTPConnection, IncompleteRead
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.chaos.faults import kill
from tests.chaos.processes import family
from tests.servers import LARGE_BATCHES, PATIENCE_S, PYTHON, serving, until
from tests.small_model import small_model, small_model_of

pytestmark = pytest.mark.servers

MOST = 65_536
IMAGE = 32 * 32 * 3
"""The bytes of an image."""
PIECE = 2**20
GROWS_MIB = 64
"""The MiB by which no process may grow."""
TOKEN = "s3cret"


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    models = tmp_path_factory.mktemp("models")
    small_model(models)
    small_model_of(models, "other", [32, 32, 3])
    return {
        "CARFRONT_MODELS": str(models),
        "CARFRONT_WORKERS": "1",
        "CARFRONT_ADMIN_TOKEN": TOKEN,
        **LARGE_BATCHES,
    }


@pytest.fixture(scope="module")
def server(settings):
    with serving(PYTHON, settings) as running:
        until(lambda: "is warm for all batch sizes" in running.log.read_text())
        yield running


@pytest.fixture
def impatient(settings):
    """A server that cuts off a reader which takes nothing for as long as by default."""
    with serving(PYTHON, settings | {"CARFRONT_SEND_TIMEOUT_S": "20"}) as running:
        yield running


def asked(stack, server, n=MOST, **members):
    """Ask for many images as raw values; return the answer, of which nothing is read."""
    connection = HTTPConnection(urlsplit(server.url).netloc, timeout=PATIENCE_S)
    stack.enter_context(closing(connection))
    body = json.dumps({"n": n, "seed": 7, "format": "raw"} | members)
    connection.request("POST", "/v1/images", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.headers["Content-Length"] == str(n * IMAGE)
    return answer


def digest(answer):
    """The SHA-256 of what is left to read."""
    found = hashlib.sha256()
    while piece := answer.read(PIECE):
        found.update(piece)
    return found.digest()


def drawn_in_small(server, n, first=7, **members):
    """The SHA-256 of the same images, asked for in answers that are made as wholes."""
    found = hashlib.sha256()
    for start in range(0, n, 4096):
        with ExitStack() as stack:
            rows = min(4096, n - start)
            found.update(asked(stack, server, rows, seed=first + start, **members).read())
    return found.digest()


def get(server, path):
    with closing(HTTPConnection(urlsplit(server.url).netloc, timeout=PATIENCE_S)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.status == 200
        return answer.read()


def metric(server, name):
    found = re.findall(
        rf"^{re.escape(name)} (\S+)$", get(server, "/metrics").decode(), re.MULTILINE
    )
    return float(found[0]) if found else 0.0


def status(pid, name):
    """A process's number of kB, which ``/proc/PID/status`` has under ``name``."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)[1])


def test_65536_images_are_those_of_small_answers_and_no_process_grows(server):
    n = MOST // 8
    with ExitStack() as stack:  # what is loaded at the first time is no growth
        assert digest(asked(stack, server, n)) == drawn_in_small(server, n)
    workers, engines, _ = family(server.pid)
    before = {}
    for pid in (*workers, *engines):
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak begins anew
        before[pid] = status(pid, "VmRSS")
    with ExitStack() as stack:
        found = digest(asked(stack, server))
    grown = {pid: (status(pid, "VmHWM") - kib) / 1024 for pid, kib in before.items()}
    assert len(grown) == 2
    assert max(grown.values()) < GROWS_MIB, grown
    assert found == drawn_in_small(server, MOST)


def test_reader_that_is_slow_is_served_beside_others_and_gets_every_byte(server):
    n, found = 12_000, hashlib.sha256()
    with ExitStack() as stack:
        answer = asked(stack, server, n)
        for seed in range(40):
            found.update(answer.read(4096))
            assert get(server, f"/v1/images/{seed}.png")
        rest = answer.read()
        found.update(rest)
    assert found.digest() == drawn_in_small(server, n)


def test_readers_that_stop_cost_the_engine_nothing_and_are_cut_off(impatient):
    slow = 'carfront_connections_ended_total{reason="slow_reader"}'
    images = 'carfront_images_total{model="cars-dcgan",source="images",version="1"}'
    with ExitStack() as stack:
        stopped = [asked(stack, impatient) for _ in range(4)]
        with ExitStack() as other, ThreadPoolExecutor(4) as pool:
            pngs = pool.map(lambda x: get(impatient, f"/v1/images/{x}.png"), range(100))
            fast = asked(other, impatient, 20_000, seed=1)
            assert digest(fast) == drawn_in_small(impatient, 20_000, first=1)
            assert all(pngs)
        until(lambda: metric(impatient, slow) == 4)
        own = metric(impatient, images) - 100 - 2 * 20_000
        assert own < 4 * MOST / 4, "of 65,536 each; the system holds some MiB of an answer"
        for answer in stopped:
            with pytest.raises((IncompleteRead, ConnectionError)):
                answer.read()
    until(lambda: metric(impatient, "carfront_queue_rows") == 0)


def test_engine_that_is_killed_costs_no_byte(server):
    n = 20_000
    with ExitStack() as stack:
        answer = asked(stack, server, n)
        found = hashlib.sha256(answer.read(PIECE))
        _, engines, _ = family(server.pid)
        kill(engines)
        while piece := answer.read(PIECE):
            found.update(piece)
    assert found.digest() == drawn_in_small(server, n)
    assert family(server.pid)[1] != engines


def administer(server, action):
    with closing(HTTPConnection(urlsplit(server.url).netloc, timeout=PATIENCE_S)) as connection:
        fields = {"Authorization": f"Bearer {TOKEN}"}
        connection.request("POST", f"/v2/repository/models/other/{action}", None, fields)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()


def test_answer_whose_model_is_unloaded_is_cut_off_and_counted(server):
    gone = 'carfront_connections_ended_total{reason="cut"}'
    before = metric(server, gone)
    administer(server, "load")
    retired = re.compile(rb'^carfront_model_info{[^}]*model="other"[^}]*} 0', re.MULTILINE).search
    with ExitStack() as stack:
        answer = asked(stack, server, model="other")
        assert answer.headers["Carfront-Model"] == "other/1"
        administer(server, "unload")
        # The reader is slow, so that nothing waits for the model now and then.
        until(lambda: answer.read(4096) and retired(get(server, "/metrics")))
        with pytest.raises((IncompleteRead, ConnectionError)):
            while answer.read(PIECE):
                pass
    until(lambda: metric(server, gone) == before + 1)
