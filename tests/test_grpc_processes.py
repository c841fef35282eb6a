"""A real server speaks gRPC: the images of HTTP, whichever process dies, until it is to end."""

import os
import re
import signal
import subprocess
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from urllib.request import Request, urlopen

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from loadtests.serving import COMMAND, ROOT, free_port
from server.bundle.latents import latents_range
from server.grpc import inference_pb2 as pb
from server.grpc.worker import LAST_CALL_S
from tests.grpc_caller import Caller, images_of
from tests.servers import PATIENCE_S, PYTHON, get, until, victim

pytestmark = pytest.mark.servers
INFER = "/v2/models/cars-dcgan/infer"
STATUS = health_pb2.HealthCheckResponse
N = 5


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A server with two HTTP workers and the gRPC process, and that one's port."""
    port = free_port()
    settings = {"CARFRONT_WORKERS": "2", "CARFRONT_GRPC_PORT": str(port)}
    with victim(PYTHON, tmp_path_factory.mktemp("served"), 3, settings) as harmed:
        yield harmed, port


def request_of(seed, n=N):
    latents = latents_range(seed, n, 100)
    tensor = pb.ModelInferRequest.InferInputTensor(
        name="latents", datatype="FP32", shape=latents.shape
    )
    raw = [latents.tobytes()]
    return pb.ModelInferRequest(model_name="cars-dcgan", inputs=[tensor], raw_input_contents=raw)


def by_http(harmed, seed, n=N):
    """Return the images of HTTP for the latents that ``request_of`` sends."""
    latents = latents_range(seed, n, 100).tobytes()
    fields = {"Content-Type": "application/octet-stream"}
    asked = Request(harmed.server.url + INFER, latents, fields)
    with urlopen(asked, timeout=PATIENCE_S) as answer:
        return answer.read()[-n * 3072 :]


def pid_of_grpc(harmed):
    return int((harmed.folder / "processes" / "grpc-0").read_text().split()[0])


def ask(caller, seed, n=N, **more):
    more = {"timeout": PATIENCE_S, "wait_for_ready": True} | more
    return images_of(caller.ModelInfer(request_of(seed, n), **more)).tobytes()


def test_images_are_those_of_http(served):
    harmed, port = served
    with Caller(port) as caller:
        assert ask(caller, 7) == by_http(harmed, 7)
    metrics = get(harmed.server.url + "/metrics").decode()
    assert 'carfront_images_total{model="cars-dcgan",source="oip_grpc",version="1"}' in metrics
    labels = 'route="/inference.GRPCInferenceService/ModelInfer",status="200"'
    assert f"http_server_requests_total{{{labels}}}" in metrics
    assert 'carfront_process_cpu_seconds_total{process="grpc-0"}' in metrics
    names = {note.name for note in (harmed.folder / "processes").iterdir()}
    assert names == {"arbiter", "engine-0", "grpc-0", "http-0", "http-1"}


def test_killed_process_is_replaced_and_killed_engine_is_waited_for(served):
    harmed, port = served
    wanted = {seed: by_http(harmed, seed) for seed in range(8)}
    stopped = threading.Event()

    def go_on(seed):
        answers = 0
        with Caller(port) as caller:
            while not stopped.is_set():
                assert ask(caller, seed) == wanted[seed]
                answers += 1
        return answers

    def ask_anew():
        with Caller(port) as caller:
            return ask(caller, 3)

    with ThreadPoolExecutor(8) as threads:
        callers = [threads.submit(go_on, seed) for seed in wanted]
        try:
            for _ in range(2):
                engine = harmed.engines[0]
                os.kill(engine, signal.SIGKILL)
                until(lambda engine=engine: harmed.engines and harmed.engines != [engine])
                assert ask_anew() == wanted[3]
        finally:
            stopped.set()
        assert all(caller.result() for caller in callers)  # nobody saw an error
    before = pid_of_grpc(harmed)
    os.kill(before, signal.SIGKILL)
    until(lambda: pid_of_grpc(harmed) != before)
    assert ask_anew() == wanted[3]
    until(harmed.is_whole)


def rows_that_wait(harmed):
    """Return how many images wait to be drawn."""
    text = get(harmed.server.url + "/metrics").decode()
    return sum(map(float, re.findall(r"^carfront_queue_rows\S* (\S+)$", text, re.MULTILINE)))


def test_stopped_server_says_so_and_then_finishes_what_it_has(tmp_path):
    port = free_port()
    settings = {"CARFRONT_WORKERS": "1", "CARFRONT_GRPC_PORT": str(port)}
    answered = Counter()

    def go_on(number):
        """Ask until the port is closed, and count how often images came."""
        with Caller(port) as caller:
            while True:
                try:
                    assert ask(caller, 7, wait_for_ready=False) == wanted
                except grpc.RpcError as error:
                    assert error.code() is grpc.StatusCode.UNAVAILABLE, error
                    assert "onnect" in error.details(), error  # it was never accepted, or told so
                    return
                answered[number] += 1

    def ask_once_it_is_not_ready(watched, caller):
        """Return the images, which only a test that is starved may be too late for."""
        assert next(watched).status == STATUS.NOT_SERVING
        try:
            return ask(caller, 7, wait_for_ready=False)
        except grpc.RpcError:
            assert time.monotonic() - stopped > LAST_CALL_S
            return wanted

    with ThreadPoolExecutor(8) as threads, Caller(port) as caller:
        with victim(PYTHON, tmp_path, 2, settings) as harmed:
            wanted = by_http(harmed, 7)
            assert ask(caller, 7) == wanted
            health = health_pb2_grpc.HealthStub(caller.channel)
            watched = health.Watch(health_pb2.HealthCheckRequest())
            assert any(each.status == STATUS.SERVING for each in watched)
            late = threads.submit(ask_once_it_is_not_ready, watched, caller)
            callers = [threads.submit(go_on, number) for number in range(6)]
            until(lambda: all(answered[number] for number in range(6)))
            large = threads.submit(ask, caller, 7, 2048)
            until(lambda: rows_that_wait(harmed) > 512 or large.done())
            stopped = time.monotonic()
        assert late.result() == wanted  # it was not refused yet
        assert large.result()[: N * 3072] == wanted
        for each in callers:
            each.result()


@pytest.mark.parametrize("variable", ["CARFRONT_PORT", "CARFRONT_METRICS_PORT"])
def test_port_of_somebody_else_stops_the_boot_in_a_sentence(variable):
    port = str(free_port())
    settings = {variable: port, "CARFRONT_GRPC_PORT": port, "CARFRONT_LOG_FORMAT": "text"}
    ended = subprocess.run(
        [PYTHON, *COMMAND], cwd=ROOT, env=os.environ | settings, capture_output=True, text=True
    )
    assert ended.returncode != 0
    assert f"carfront cannot start: CARFRONT_GRPC_PORT is {port}" in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
