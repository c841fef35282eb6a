"""Requests for inference by gRPC: what is drawn, for whom, and what is refused."""

import itertools
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import grpc
import numpy as np
import pytest
from grpc_caller import Caller, images_of, infer_request, latents_of, until_ready
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests_engine import (
    Gate,
    floats_of,
    picture,
    publish,
    running,
    serving_floats,
    wait_until,
)

from server.api.oip_tensors import LatentsShape
from server.errors import InvalidRequest
from server.grpc import calls
from server.grpc import inference_pb2 as pb
from server.grpc.infer_messages import read_infer
from server.observability import metrics
from tests.patience import PATIENCE_S

SHAPE = LatentsShape(8, 64)
Code = grpc.StatusCode


@contextmanager
def held(config):
    """Run an engine whose batches wait at a gate, which is open in the end."""
    gate = Gate()
    with running(config.engine_dirs[0].socket, [gate]) as engine:
        try:
            yield engine, gate
        finally:
            gate.open.set()


def refused(call):
    with pytest.raises(grpc.RpcError) as raised:
        call()
    return raised.value


@pytest.mark.parametrize("raw", [True, False])
def test_latents_raw_or_as_numbers_give_their_images(caller, raw):
    latents = latents_of(5)
    response = caller.ModelInfer(infer_request(latents, raw, id="a"))
    assert (images_of(response) == picture(latents)).all()
    assert (response.model_name, response.model_version, response.id) == ("tiny", "1", "a")
    (output,) = response.outputs
    assert (output.name, output.datatype, list(output.shape)) == ("images", "UINT8", [5, 4, 4, 3])


def test_float_images_come_raw_alone_or_beside_the_images(caller, config, engine):
    engine.add(serving_floats())
    publish(config.engine_dirs[0].socket, float_plan="openvino/f32")
    engine.announce()
    latents = latents_of(5)
    names = ("images_float", "images")
    outputs = [pb.ModelInferRequest.InferRequestedOutputTensor(name=name) for name in names]
    response = caller.ModelInfer(infer_request(latents, outputs=outputs))
    assert [(x.name, x.datatype) for x in response.outputs] == [
        ("images_float", "FP32"),
        ("images", "UINT8"),
    ]
    floats, images = response.raw_output_contents
    wanted = picture(latents)
    assert floats == floats_of(wanted).tobytes()
    assert images == wanted.tobytes()


def test_answer_says_who_drew_and_carries_the_callers_id(caller):
    fields = (("x-request-id", "mine"), ("traceparent", f"00-{'a' * 32}-{'b' * 16}-01"))
    _, call = caller.ModelInfer.with_call(infer_request(latents_of(1)), metadata=fields)
    told = dict(call.initial_metadata())
    assert told["carfront-model"] == "tiny/1"
    assert told["carfront-plan"] == "cpu/f32"
    assert told["x-request-id"] == "mine"


def test_threads_get_the_images_of_their_own_latents(caller):
    def ask(seed):
        latents = latents_of(1 + seed % 40, seed)
        response = caller.ModelInfer(infer_request(latents, raw=seed % 3 > 0))
        return (images_of(response) == picture(latents)).all()

    with ThreadPoolExecutor(24) as threads:
        assert all(threads.map(ask, range(300)))


def test_more_than_grpcs_own_four_mebibytes_come_and_go(caller, served, monkeypatch):
    latents = np.zeros((2**18, 8), np.float32)  # 8 MiB
    error = refused(lambda: caller.ModelInfer(infer_request(latents)))
    assert error.code() is Code.INVALID_ARGUMENT
    assert error.details() == "rows of latents is 262144; wanted from 1 to 4096"


def test_message_beyond_the_limit_is_refused_and_so_is_one_that_inflates_beyond(caller):
    request = infer_request(np.zeros((2**20, 8), np.float32))  # 32 MiB
    for coding in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
        error = refused(lambda coding=coding: caller.ModelInfer(request, compression=coding))
        assert error.code() is Code.RESOURCE_EXHAUSTED
    assert caller.ModelInfer(infer_request(latents_of(1)), compression=grpc.Compression.Gzip)


def altered(**changes):
    """A request of one row, of which ``changes`` replace members of its tensor."""
    request = infer_request(latents_of(1))
    for name, value in changes.items():
        if isinstance(value, list):
            del getattr(request.inputs[0], name)[:]
            getattr(request.inputs[0], name).extend(value)
        else:
            setattr(request.inputs[0], name, value)
    return request


def with_parameter(name, **value):
    request = infer_request(latents_of(1))
    request.parameters[name].CopyFrom(pb.InferParameter(**value))
    return request


def with_output(name, **parameters):
    output = pb.ModelInferRequest.InferRequestedOutputTensor(name=name, parameters=parameters)
    return infer_request(latents_of(1), outputs=[output])


def twice(request, member):
    getattr(request, member).append(getattr(request, member)[0])
    return request


def with_contents(request, **contents):
    request.inputs[0].contents.CopyFrom(pb.InferTensorContents(**contents))
    return request


def without_raw(request):
    del request.raw_input_contents[:]
    return request


NAN = np.full((1, 8), np.nan, np.float32)
SHARED = pb.InferParameter(string_param="region")
BAD = {
    "name of an input is 'z'": altered(name="z"),
    "datatype of latents is 'FP64'": altered(datatype="FP64"),
    "shape of latents is [8]": altered(shape=[8]),
    "bytes of latents is 32; wanted 64, as the shape has it": altered(shape=[2, 8]),
    "rows of latents is -1": altered(shape=[-1, 8]),
    "rows of latents is 0": altered(shape=[0, 8]),
    "bytes of latents is 32": altered(shape=[2**62, 2**62]),
    "inputs is []; wanted a list of one tensor, latents": pb.ModelInferRequest(model_name="tiny"),
    "number of raw_input_contents is 1; wanted 2": twice(infer_request(latents_of(1)), "inputs"),
    "number of raw_input_contents is 2": twice(infer_request(latents_of(1)), "raw_input_contents"),
    "number of inputs is 2": twice(
        twice(infer_request(latents_of(1)), "inputs"), "raw_input_contents"
    ),
    "contents of an input is ['fp32_contents']; wanted none beside": with_contents(
        infer_request(latents_of(1)), fp32_contents=[1.0] * 8
    ),
    "contents of an input is ['int_contents']; wanted fp32_contents alone": with_contents(
        without_raw(infer_request(latents_of(1))), int_contents=[1] * 8
    ),
    "bytes of latents is 28": with_contents(
        without_raw(infer_request(latents_of(1))), fp32_contents=[1.0] * 7
    ),
    "bytes of latents is 0": without_raw(infer_request(latents_of(1))),
    "latents": infer_request(NAN),
    "name of an output is 'z'": with_output("z"),
    "classification is 3": with_output("images", classification=pb.InferParameter(int64_param=3)),
    "shared_memory_region is 'region'": with_output("images", shared_memory_region=SHARED),
    "timeout is -1": with_parameter("timeout", int64_param=-1),
    "timeout is 'x'": with_parameter("timeout", string_param="x"),
    "priority is 'high'": with_parameter("priority", string_param="high"),
    "class": with_parameter("class", string_param="dog"),
    "name of the model is ''": pb.ModelInferRequest(),
}


@pytest.mark.parametrize("told", BAD)
def test_request_that_is_not_the_protocols_is_refused_in_words(caller, told):
    error = refused(lambda: caller.ModelInfer(BAD[told]))
    assert error.code() is Code.INVALID_ARGUMENT
    assert told in error.details()
    assert "x-request-id" in dict(error.trailing_metadata())


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize(
    ("datatype", "dtype", "member"),
    [("INT64", "<i8", "int64_contents"), ("INT32", "<i4", "int_contents")],
)
def test_classes_come_before_or_behind_the_latents_as_those_do(
    datatype, dtype, member, is_first, raw
):
    latents, numbers = latents_of(3), np.array([2, 0, 1], dtype)
    request = infer_request(latents, raw)
    given = pb.ModelInferRequest.InferInputTensor(name="class", datatype=datatype, shape=[3, 1])
    if not raw:
        getattr(given.contents, member).extend(numbers.tolist())
    tensors, packed = [*request.inputs, given], [latents.tobytes(), numbers.tobytes()]
    if is_first:
        tensors.reverse()
        packed.reverse()
    asked = pb.ModelInferRequest(inputs=tensors, raw_input_contents=packed if raw else ())
    wanted = read_infer(asked, SHAPE)
    assert (wanted.latents == latents).all()
    assert isinstance(wanted.named, np.ndarray)
    assert wanted.named.tolist() == [2, 0, 1]


@pytest.mark.parametrize(("name", "version"), [("vans", ""), ("tiny", "9"), ("tiny", "x")])
def test_unknown_model_is_not_found(caller, name, version):
    request = infer_request(latents_of(1), model_version=version)
    request.model_name = name
    assert refused(lambda: caller.ModelInfer(request)).code() is Code.NOT_FOUND
    for method in ("ModelReady", "ModelMetadata", "ModelConfig", "ModelStatistics"):
        asked = getattr(pb, f"{method}Request")(name=name, version=version)
        code = refused(lambda m=method, a=asked: getattr(caller, m)(a)).code()
        assert code is Code.NOT_FOUND


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_told(caller, message):
    try:
        caller.method("ModelInfer")(message, timeout=PATIENCE_S)
    except grpc.RpcError as error:
        assert error.code() in (Code.INVALID_ARGUMENT, Code.NOT_FOUND)


PARAMETER = st.builds(
    pb.InferParameter,
) | st.one_of(
    st.builds(pb.InferParameter, bool_param=st.booleans()),
    st.builds(pb.InferParameter, int64_param=st.integers(-(2**63), 2**63 - 1)),
    st.builds(pb.InferParameter, string_param=st.text(max_size=9)),
    st.builds(pb.InferParameter, double_param=st.floats()),
)
NAMES = st.sampled_from(["binary_data_size", "binary_data", "timeout", "priority", "class"])
PARAMETERS = st.dictionaries(NAMES | st.text(max_size=5), PARAMETER, max_size=3)
CONTENTS = st.builds(
    pb.InferTensorContents,
    fp32_contents=st.lists(st.floats(width=32), max_size=17),
    bytes_contents=st.lists(st.binary(max_size=3), max_size=1),
)
TENSOR = st.builds(
    pb.ModelInferRequest.InferInputTensor,
    name=st.just("latents") | st.text(max_size=5),
    datatype=st.just("FP32") | st.text(max_size=5),
    shape=st.just([1, 8]) | st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3),
    parameters=PARAMETERS,
    contents=st.none() | CONTENTS,
)
OUTPUT = st.builds(
    pb.ModelInferRequest.InferRequestedOutputTensor,
    name=st.just("images") | st.text(max_size=5),
    parameters=PARAMETERS,
)
REQUEST = st.builds(
    pb.ModelInferRequest,
    id=st.text(max_size=5),
    parameters=PARAMETERS,
    inputs=st.lists(TENSOR, max_size=2),
    outputs=st.lists(OUTPUT, max_size=2),
    raw_input_contents=st.lists(st.binary(max_size=70) | st.just(bytes(32)), max_size=2),
)


@given(REQUEST)
def test_any_message_is_read_or_told(request):
    try:
        wanted = read_infer(request, SHAPE)
    except InvalidRequest as error:
        assert len(str(error)) < 400
    else:
        assert all(output.is_binary for output in wanted.outputs)
        assert wanted.latents.shape == (1, 8)
        assert np.isfinite(wanted.latents).all()


def test_call_that_is_cancelled_costs_no_inference(config, start):
    with held(config) as (engine, gate):
        process, caller = start(config)
        until_ready(process)
        first = caller.ModelInfer.future(infer_request(latents_of(1)))
        wait_until(gate.entered.is_set)
        second = caller.ModelInfer.future(infer_request(latents_of(3)))
        wait_until(lambda: len(process._client._inflight) == 2)
        second.cancel()
        wait_until(lambda: process.calls.active == 1)
        gate.open.set()
        assert images_of(first.result()).shape == (1, 4, 4, 3)
        wait_until(lambda: not process.calls.active)
    assert engine.notes.batches == [1]


def test_callers_deadline_is_the_requests(config, start):
    with held(config) as (engine, gate):
        process, caller = start(config)
        until_ready(process)
        first = caller.ModelInfer.future(infer_request(latents_of(1)), timeout=900)
        wait_until(gate.entered.is_set)
        (request,) = process._client._inflight
        assert 600 < request.terms.timeout_s < 901  # gRPC rounds it up
        late = refused(lambda: caller.ModelInfer(infer_request(latents_of(3)), timeout=0.2))
        assert late.code() is Code.DEADLINE_EXCEEDED
        hurry = with_parameter("timeout", int64_param=1000)
        late = refused(lambda: caller.ModelInfer(hurry, timeout=900))
        assert late.code() is Code.DEADLINE_EXCEEDED
        assert "not done within 0.001 s" in late.details()
        gate.open.set()
        first.result()
        wait_until(lambda: not process.calls.active)
    assert engine.notes.batches == [1]


@pytest.mark.parametrize(("priority", "bulk"), [("bulk", True), ("interactive", False)])
def test_priority_is_a_metadatum(config, start, priority, bulk):
    with held(config) as (_, gate):
        process, caller = start(config)
        until_ready(process)
        fields = (("carfront-priority", priority),)
        asked = caller.ModelInfer.future(infer_request(latents_of(1)), metadata=fields)
        wait_until(gate.entered.is_set)
        (request,) = process._client._inflight
        assert request.terms.bulk is bulk
        gate.open.set()
        asked.result()
        nonsense = (("carfront-priority", "high"),)
        error = refused(lambda: caller.ModelInfer(infer_request(latents_of(1)), metadata=nonsense))
        assert error.code() is Code.INVALID_ARGUMENT
        assert "carfront-priority is 'high'" in error.details()


def test_without_an_engine_a_call_waits_and_is_then_told_when_to_try_again(config, start):
    _, caller = start(replace(config, request_timeout_ms=50))
    error = refused(lambda: caller.ModelInfer(infer_request(latents_of(1))))
    assert error.code() is Code.UNAVAILABLE
    assert dict(error.trailing_metadata())["retry-after"] == "1"


def test_calls_outlive_the_engine(config, start):
    process, caller = start(config)
    latents = latents_of(3)
    asked = caller.ModelInfer.future(infer_request(latents))
    wait_until(lambda: len(process._client._inflight) == 1)
    for _ in range(2):
        with running(config.engine_dirs[0].socket):
            images = images_of(asked.result(timeout=PATIENCE_S))
            assert (images == picture(latents)).all()
        asked = caller.ModelInfer.future(infer_request(latents))
    asked.cancel()


def test_calls_beyond_the_limit_are_refused_and_probes_are_answered(config, start):
    with held(config) as (_, gate):
        process, caller = start(replace(config, grpc_calls=2))
        until_ready(process)
        asked = [caller.ModelInfer.future(infer_request(latents_of(1))) for _ in range(2)]
        wait_until(lambda: process.calls.active == 2)
        error = refused(lambda: caller.ModelInfer(infer_request(latents_of(1))))
        assert error.code() is Code.UNAVAILABLE
        assert "2 calls are being answered" in error.details()
        assert dict(error.trailing_metadata())["retry-after"] == "1"
        assert caller.ServerLive(pb.ServerLiveRequest()).live
        gate.open.set()
        assert all(images_of(each.result()).size for each in asked)


def test_message_that_does_not_arrive_ends_its_call(served):
    process, caller = served
    process.calls._read_timeout_s = 0.0
    send = caller.channel.stream_unary("/inference.GRPCInferenceService/ModelInfer")
    never = (bytes(x) for x in itertools.takewhile(lambda _: not done, itertools.repeat(0)))
    done = []

    def half():
        wait_until(lambda: done)
        yield from never

    call = send.future(half())
    wait_until(lambda: process.calls.active)
    wait_until(lambda: process.calls._arriving)
    process.look()
    assert refused(call.result).code() is Code.CANCELLED
    done.append(True)
    wait_until(lambda: not process.calls.active)


@contextmanager
def until_set(stopped, port):
    """Forward a connection to ``port``, but nothing that comes back once ``stopped`` is set.

    Yield the port at which to connect.
    """

    def forward(source, target, stops):
        while (data := source.recv(4096)) and not (stops and stopped.is_set()):
            target.sendall(data)

    def accept():
        for sock in (listener.accept()[0], socket.create_connection(("127.0.0.1", port))):
            both.append(ends.enter_context(sock))
            ends.callback(sock.shutdown, socket.SHUT_RDWR)
        threads.submit(forward, *both, False)
        threads.submit(forward, *reversed(both), True)

    both = []
    with (
        ThreadPoolExecutor(3) as threads,
        ExitStack() as ends,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        accepted = threads.submit(accept)
        yield listener.getsockname()[1]
        accepted.result()


def test_answer_that_is_not_read_in_time_ends_its_call(config, start, monkeypatch):
    now = 1000.0
    monkeypatch.setattr(calls, "perf_counter", lambda: now)
    ended = metrics.CONNECTIONS_ENDED.labels("slow_reader")
    before = ended._value.get()
    stopped = threading.Event()
    process, _ = start(config)
    with (
        held(config) as (_, gate),
        until_set(stopped, process.server.port) as port,
        Caller(port, ("grpc.http2.bdp_probe", 0)) as caller,  # its window stays small
    ):
        until_ready(process)
        call = caller.ModelInfer.future(infer_request(latents_of(4096)))
        wait_until(gate.entered.is_set)
        stopped.set()
        gate.open.set()
        wait_until(lambda: process.calls._unread)
        now += 20.0
        process.look()
        assert process.calls._unread, "it was cut off before its time"
        now += 0.1
        process.look()
        wait_until(lambda: not process.calls.active)
        assert not process.calls._unread
        call.cancel()
    assert ended._value.get() == before + 1


def test_answer_has_its_time_for_each_mib(served, monkeypatch):
    process, _ = served
    monkeypatch.setattr(calls, "perf_counter", lambda: 1000.0)
    small, large = Unread(), Unread()
    process.calls._bound_unread(small, 2**20)
    process.calls._bound_unread(large, 2**23 + 1)
    until = [unread.until for unread in process.calls._unread.values()]
    assert until == [1000.0 + 20, 1000.0 + 9 * 20]


class Unread:
    """A call whose answer is not read."""

    def __init__(self):
        self.left = 1
        self.cancelled = 0
        self.context = self

    def cancel(self):
        self.cancelled += 1


def test_answers_that_nobody_reads_are_bounded(served):
    process, _ = served
    process.calls._unsent_bytes = 100
    large, small, other = unread = [Unread() for _ in range(3)]
    process.calls._bound_unread(large, 1000)  # one answer may be as large as it likes
    assert not large.cancelled
    process.calls._bound_unread(small, 60)
    assert (large.cancelled, small.cancelled) == (True, False)
    process.calls._bound_unread(other, 40)
    process.calls._leave(large)
    assert [call.cancelled for call in unread] == [True, False, False]
    for call in (small, other):
        process.calls._leave(call)
    assert not process.calls._unread


def test_call_without_a_message_is_refused(caller):
    send = caller.channel.stream_unary("/inference.GRPCInferenceService/ModelInfer")
    error = refused(lambda: send(iter([])))
    assert error.code() is Code.INVALID_ARGUMENT
    assert "wanted one inference.ModelInferRequest" in error.details()


def test_bug_is_an_internal_error_that_shows_nothing(served, monkeypatch, caplog):
    process, caller = served

    def fail(*_):
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(process._client, "find", fail)
    error = refused(lambda: caller.ModelInfer(infer_request(latents_of(1))))
    assert error.code() is Code.INTERNAL
    assert "secret" not in error.details()
    assert "ZeroDivisionError" in caplog.text


def test_call_that_comes_as_the_server_ends_is_told_to_go_elsewhere(served):
    process, caller = served
    process.calls.is_ending = True
    error = refused(lambda: caller.ModelInfer(infer_request(latents_of(1))))
    assert error.code() is Code.UNAVAILABLE
    assert "connect to another" in error.details()
    assert caller.ServerLive(pb.ServerLiveRequest()).live  # probes are answered still
