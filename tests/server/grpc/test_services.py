"""The methods beside inference: what is served, who may do what, and what is told of calls."""

import logging
import threading
from dataclasses import replace

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from grpc_caller import SERVICE, infer_request, latents_of, until_ready
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tests_engine import running, wait_until

from server.grpc import inference_pb2 as pb
from server.keys import digest_of
from server.observability import metrics

Code = grpc.StatusCode
STATUS = health_pb2.HealthCheckResponse
METHODS = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods


def refused(call):
    with pytest.raises(grpc.RpcError) as raised:
        call()
    return raised.value


def bearer(key):
    return (("authorization", f"Bearer {key}"),)


def test_server_and_model_are_described_as_rest_has_them(caller):
    assert caller.ServerLive(pb.ServerLiveRequest()).live
    assert caller.ServerReady(pb.ServerReadyRequest()).ready
    assert caller.ModelReady(pb.ModelReadyRequest(name="tiny", version="1")).ready
    server = caller.ServerMetadata(pb.ServerMetadataRequest())
    assert server.name == "carfront"
    assert "statistics" in server.extensions
    model = caller.ModelMetadata(pb.ModelMetadataRequest(name="tiny"))
    assert (model.name, model.platform, list(model.versions)) == ("tiny", "onnxruntime_onnx", ["1"])
    assert [(x.name, x.datatype, list(x.shape)) for x in (*model.inputs, *model.outputs)] == [
        ("latents", "FP32", [-1, 8]),
        ("images", "UINT8", [-1, 4, 4, 3]),
    ]
    config = caller.ModelConfig(pb.ModelConfigRequest(name="tiny")).config
    assert config.max_batch_size > 1
    assert (config.input[0].data_type, list(config.input[0].dims)) == (pb.TYPE_FP32, [8])
    assert (config.output[0].data_type, list(config.output[0].dims)) == (pb.TYPE_UINT8, [4, 4, 3])


def test_statistics_count_what_was_asked(caller):
    def statistics(**asked):
        (found,) = caller.ModelStatistics(pb.ModelStatisticsRequest(**asked)).model_stats
        return found

    before = statistics(name="tiny")
    caller.ModelInfer(infer_request(latents_of(3)))
    refused(lambda: caller.ModelInfer(pb.ModelInferRequest(model_name="tiny")))
    after = statistics()
    assert (after.name, after.version) == ("tiny", "1")
    for step in ("success", "queue", "compute_input", "fail"):
        was, now = (getattr(x.inference_stats, step) for x in (before, after))
        assert now.count - was.count == 1
        assert now.ns > was.ns
    assert after.last_inference > 0


def test_repositorys_index_names_what_is_there(caller):
    index = caller.RepositoryIndex(pb.RepositoryIndexRequest())
    assert MessageToDict(index) == {"models": [{"name": "tiny", "version": "1", "state": "READY"}]}


def test_administrators_load_and_unload(config, start):
    asked = []

    def on_ask(ask, answer):
        asked.append((ask.action, ask.name, ask.version))
        error = "it is broken" if ask.version == "2" else ""
        threading.Thread(target=answer, args=(error,)).start()

    version = {"version": pb.ModelRepositoryParameter(string_param="1")}
    with running(config.engine_dirs[0].socket, on_ask=on_ask):
        process, caller = start(replace(config, admin_token="s3cret"))
        until_ready(process)
        load = pb.RepositoryModelLoadRequest(model_name="tiny", parameters=version)
        unload = pb.RepositoryModelUnloadRequest(
            model_name="tiny",
            parameters={"unload_dependents": pb.ModelRepositoryParameter(bool_param=False)},
        )
        for fields in ((), bearer("s3cretx"), (("authorization", "Basic s3cret"),)):
            error = refused(lambda f=fields: caller.RepositoryModelLoad(load, metadata=f))
            assert error.code() is Code.UNAUTHENTICATED
        assert not asked
        caller.RepositoryModelLoad(load, metadata=bearer("s3cret"))
        caller.RepositoryModelUnload(unload, metadata=bearer("s3cret"))
        assert asked == [("load", "tiny", "1"), ("unload", "tiny", "")]
        load.parameters["version"].string_param = "2"
        error = refused(lambda: caller.RepositoryModelLoad(load, metadata=bearer("s3cret")))
        assert error.code() is Code.NOT_FOUND
        for name in ("config", "file:1/model.onnx"):
            altering = pb.RepositoryModelLoadRequest(
                model_name="tiny", parameters={name: pb.ModelRepositoryParameter(string_param="{}")}
            )
            error = refused(
                lambda a=altering: caller.RepositoryModelLoad(a, metadata=bearer("s3cret"))
            )
            assert error.code() is Code.INVALID_ARGUMENT
        assert len(asked) == 3


def test_without_administrators_nobody_loads(caller):
    load = pb.RepositoryModelLoadRequest(model_name="tiny")
    error = refused(lambda: caller.RepositoryModelLoad(load, metadata=bearer("")))
    assert error.code() is Code.PERMISSION_DENIED


@pytest.fixture
def with_keys(config, engine, start, tmp_path):
    path = tmp_path / "of-keys"
    path.write_text(
        f"alice user {digest_of(b'sesame').hex()} images_per_s=0.001 burst=8\n"
        f"nightly admin {digest_of(b'open').hex()}\n"
    )
    process, caller = start(replace(config, api_keys_file=path))
    until_ready(process)
    return caller


def test_with_keys_every_method_needs_one_but_those_of_probes(with_keys):
    caller = with_keys
    assert caller.ServerLive(pb.ServerLiveRequest()).live
    assert caller.ServerReady(pb.ServerReadyRequest()).ready
    health = health_pb2_grpc.HealthStub(caller.channel)
    assert health.Check(health_pb2.HealthCheckRequest()).status == STATUS.SERVING
    others = [each.name for each in METHODS if each.name not in ("ServerLive", "ServerReady")]
    assert len(others) == 9
    for name in others:
        for fields in ((), bearer("wrong"), (("x-api-key", "wrong"),)):
            error = refused(lambda n=name, f=fields: caller.method(n)(b"", metadata=f))
            assert error.code() is Code.UNAUTHENTICATED
    reflection = reflection_pb2_grpc.ServerReflectionStub(caller.channel)
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    error = refused(lambda: list(reflection.ServerReflectionInfo(iter([asked]))))
    assert error.code() is Code.UNAUTHENTICATED


def test_keys_limits_count_and_are_told(with_keys):
    caller = with_keys
    fields = (("x-api-key", "sesame"),)
    _, call = caller.ModelInfer.with_call(infer_request(latents_of(5)), metadata=fields)
    assert dict(call.initial_metadata())["ratelimit"].startswith('"images";r=3;')
    error = refused(lambda: caller.ModelInfer(infer_request(latents_of(5)), metadata=fields))
    assert error.code() is Code.RESOURCE_EXHAUSTED
    told = dict(error.trailing_metadata())
    assert int(told["retry-after"]) > 1
    assert "ratelimit-policy" in told
    load = pb.RepositoryModelLoadRequest(model_name="tiny")
    error = refused(lambda: caller.RepositoryModelLoad(load, metadata=fields))
    assert error.code() is Code.PERMISSION_DENIED
    assert caller.ModelInfer(infer_request(latents_of(5)), metadata=bearer("open"))


def test_health_is_that_of_the_engine_and_can_be_watched(config, start):
    process, caller = start(config)
    health = health_pb2_grpc.HealthStub(caller.channel)
    watched = health.Watch(health_pb2.HealthCheckRequest(service=SERVICE))
    assert next(watched).status == STATUS.NOT_SERVING
    assert not caller.ServerReady(pb.ServerReadyRequest()).ready
    with running(config.engine_dirs[0].socket):
        until_ready(process)
        assert health.Check(health_pb2.HealthCheckRequest()).status == STATUS.SERVING
        assert next(watched).status == STATUS.SERVING
        process.look()
    wait_until(lambda: not process._client.ready)
    process.look()
    assert next(watched).status == STATUS.NOT_SERVING  # nothing is told twice
    assert health.Check(health_pb2.HealthCheckRequest()).status == STATUS.NOT_SERVING
    unknown = health_pb2.HealthCheckRequest(service="vans")
    assert refused(lambda: health.Check(unknown)).code() is Code.NOT_FOUND


def test_services_can_be_asked_for(caller):
    reflection = reflection_pb2_grpc.ServerReflectionStub(caller.channel)
    asked = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE),
    ]
    services, file = reflection.ServerReflectionInfo(iter(asked))
    names = {each.name for each in services.list_services_response.service}
    assert {SERVICE, "grpc.health.v1.Health"} <= names
    assert pb.DESCRIPTOR.serialized_pb in file.file_descriptor_response.file_descriptor_proto


@pytest.mark.parametrize(
    ("service", "method"),
    [
        ("grpc.health.v1.Health", "Check"),
        ("grpc.health.v1.Health", "Watch"),
        ("grpc.reflection.v1alpha.ServerReflection", "ServerReflectionInfo"),
    ],
)
def test_message_that_is_none_is_refused_by_the_services_beside_it_and_logs_nothing(
    caller, service, method, caplog
):
    called = caller.channel.stream_stream(f"/{service}/{method}")(iter([b"\xff"]))
    error = refused(lambda: list(called))
    assert error.code() is Code.INVALID_ARGUMENT
    assert "wanted one grpc." in error.details()
    assert not [x for x in caplog.records if x.levelno >= logging.ERROR]


def test_unknown_method_is_unimplemented(caller):
    assert refused(lambda: caller.method("Nope")(b"")).code() is Code.UNIMPLEMENTED


def count(method, status):
    labels = {"route": f"/{SERVICE}/{method}", "status": status}
    name = "http_server_requests_total"
    return metrics.REGISTRY.get_sample_value(name, labels) or 0.0


def test_calls_and_images_are_counted(caller):
    def images():
        labels = {"model": "tiny", "version": "1", "source": "oip_grpc"}
        return metrics.REGISTRY.get_sample_value("carfront_images_total", labels) or 0.0

    before = count("ModelInfer", "200"), count("ModelInfer", "404"), images()
    caller.ModelInfer(infer_request(latents_of(3)))
    refused(lambda: caller.ModelInfer(pb.ModelInferRequest(model_name="vans")))
    after = count("ModelInfer", "200"), count("ModelInfer", "404"), images()
    assert [now - was for was, now in zip(before, after, strict=True)] == [1, 1, 3]


def test_access_log_has_a_line_for_a_call_and_no_key(config, engine, start):
    lines = []
    process, caller = start(config, lambda *line: lines.append(line))
    until_ready(process)
    caller.ModelInfer(infer_request(latents_of(1)), metadata=(("x-api-key", "secret"), ("a", "b")))
    ((answer, fields, environ, took),) = lines
    assert (answer.status, answer.sent > 48, took.total_seconds() > 0) == ("OK", True, True)
    assert environ["RAW_URI"] == f"/{SERVICE}/ModelInfer"
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert ("a", "b") in fields
    assert "secret" not in str(lines)


def test_lines_of_the_log_carry_the_calls_id(served, monkeypatch, caplog):
    from server.observability import logs

    process, caller = served
    seen = []

    def fail(*_):
        seen.append(logs._current.get())
        raise ZeroDivisionError

    monkeypatch.setattr(process._client, "find", fail)
    with caplog.at_level(logging.ERROR):
        fields = (("x-request-id", "mine"),)
        refused(lambda: caller.ModelInfer(infer_request(latents_of(1)), metadata=fields))
    assert seen == ["mine"]


def test_span_of_a_call_has_its_steps(config, engine, start):
    trace = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    from server.observability.tracing import Tracer

    exporter = trace.InMemorySpanExporter()
    process, caller = start(config)
    until_ready(process)
    process.calls._ended._tracer = tracer = Tracer(exporter)
    parent = f"00-{'a' * 32}-{'b' * 16}-01"
    caller.ModelInfer(infer_request(latents_of(1)), metadata=(("traceparent", parent),))
    tracer.close()
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert set(spans) == {"queue", "infer", "encode", f"{SERVICE}/ModelInfer"}
    span = spans[f"{SERVICE}/ModelInfer"]
    assert f"{span.context.trace_id:032x}" == "a" * 32
    assert span.attributes["rpc.response.status_code"] == "OK"
    assert span.start_time <= spans["queue"].start_time + 1000


def test_port_that_is_taken_is_told(config, start):
    from server.config_error import ConfigError

    process, _ = start(config)
    with pytest.raises(ConfigError, match="CARFRONT_GRPC_PORT"):
        start(replace(config, grpc_port=process.server.port))
