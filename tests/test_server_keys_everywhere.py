"""One key at a real server, by HTTP and gRPC at once: one limit, told as each protocol has it."""

import json
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from loadtests.serving import free_port
from server.bundle.latents import latents_range
from server.grpc import inference_pb2 as pb
from server.keys import digest_of
from tests.chaos.faults import stopped
from tests.chaos.processes import family
from tests.grpc_caller import Caller
from tests.servers import PATIENCE_S, PYTHON, connected, get, serving, until

pytestmark = pytest.mark.servers

SLOW = "images_per_s=0.0001"
"""A rate at which no image comes back while a test runs."""
ROW = latents_range(7, 1, 100).tobytes()
INFER, PREDICT = "/v2/models/cars-dcgan/infer", "/v1/models/cars-dcgan:predict"
PROBLEM = "application/problem+json"
WAIT = r"[0-9]{1,5}\.[0-9] s"


def line(name, limits):
    return f"{name} user {digest_of(f's3cret-{name}'.encode()).hex()} {limits}\n"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A server with two HTTP workers and the gRPC process, and that one's port."""
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(
        line("crowd", f"{SLOW} burst=300")
        + line("waits", "in_flight=100")
        + line("spent", f"{SLOW} burst=1")
    )
    port = free_port()
    env = {
        "CARFRONT_API_KEYS_FILE": str(keys),
        "CARFRONT_WORKERS": "2",
        "CARFRONT_GRPC_PORT": str(port),
    }
    with serving(PYTHON, env) as server, Caller(port) as caller:
        caller.ServerReady(pb.ServerReadyRequest(), wait_for_ready=True, timeout=PATIENCE_S)
        yield server, caller


def request(rows):
    """Return the call for the images of so many rows of latents."""
    tensor = pb.ModelInferRequest.InferInputTensor(
        name="latents", datatype="FP32", shape=[rows, 100]
    )
    raw = [ROW * rows]
    return pb.ModelInferRequest(model_name="cars-dcgan", inputs=[tensor], raw_input_contents=raw)


def call(caller, name, rows=1):
    """Return the code with which a call ends, its sentence and the metadata behind it."""
    fields = (("x-api-key", f"s3cret-{name}"),) if name else ()
    try:
        caller.ModelInfer(request(rows), metadata=fields, timeout=PATIENCE_S)
    except grpc.RpcError as error:
        return error.code(), error.details(), dict(error.trailing_metadata())
    return grpc.StatusCode.OK, "", {}


def ask(server, name, path="/v1/images/7.png", body=b"", kind="application/octet-stream"):
    """Return the status, the header fields and the body of an answer over its own connection."""
    lines = [f"{'POST' if body else 'GET'} {path} HTTP/1.0", f"Content-Length: {len(body)}"]
    lines += [f"Content-Type: {kind}"] if body else []
    lines += [f"X-API-Key: s3cret-{name}"] if name else []
    with connected(server) as sock:
        sock.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    head, _, content = answer.partition(b"\r\n\r\n")
    status, *fields = head.decode("latin-1").split("\r\n")
    return int(status.split()[1]), dict(x.split(": ", 1) for x in fields), content


def test_burst_is_drawn_by_both_together_and_not_one_image_more(served):
    server, caller = served

    def by_http(_):
        return [ask(server, "crowd")[0] for _ in range(20)]

    def by_grpc(_):
        return [call(caller, "crowd")[0] for _ in range(20)]

    with ThreadPoolExecutor(20) as pool:
        https = [pool.submit(by_http, number) for number in range(10)]
        calls = [pool.submit(by_grpc, number) for number in range(10)]
        answered = Counter(x for each in https for x in each.result())
        called = Counter(x for each in calls for x in each.result())
    assert set(answered) <= {200, 429}
    assert set(called) <= {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert answered[200] + called[grpc.StatusCode.OK] == 300
    assert min(answered[200], called[grpc.StatusCode.OK]) > 0
    text = get(server.url + "/metrics").decode()
    assert 'carfront_key_images_total{key="crowd"} 300.0' in text
    assert 'carfront_key_refused_total{key="crowd",reason="rate"} 100.0' in text


def test_images_in_flight_are_those_of_both(served):
    server, caller = served
    _, engines, _ = family(server.pid)
    told = (
        "the key 'waits' has 100 images in flight, of 100 that it may have; "
        "1 more may be asked for when these are drawn"
    )
    with ThreadPoolExecutor(2) as pool:
        with stopped(engines):
            held = [
                pool.submit(ask, server, "waits", INFER, ROW * 60),
                pool.submit(call, caller, "waits", 40),
            ]
            until(lambda: room(server) == 0)
            status, fields, body = ask(server, "waits")
            assert (status, fields["Retry-After"]) == (429, "1")
            assert json.loads(body)["detail"] == told
            code, words, fields = call(caller, "waits")
            assert (code, words) == (grpc.StatusCode.RESOURCE_EXHAUSTED, told)
            assert fields["retry-after"] == "1"
            assert fields["ratelimit"] == '"in-flight";r=0'
        assert held[0].result()[0] == 200
        assert held[1].result()[0] is grpc.StatusCode.OK
    assert room(server) == 100


def room(server):
    """Return how many images the key may still have in flight, as any answer tells."""
    return int(re.search(r'"in-flight";r=([0-9]+)', ask(server, "waits", "/x")[1]["RateLimit"])[1])


MISSING = "there is no key; wanted Authorization: Bearer <key> or X-API-Key: <key>"
UNKNOWN = "the key is unknown; wanted Authorization: Bearer <key> or X-API-Key: <key>"
SPENT = (
    "the key 'spent' may draw 0.0001 images a second, and 1 at once after a pause; "
    "1 more may be drawn in {wait}"
)
PREDICT_BODY = json.dumps({"instances": [latents_range(7, 1, 100)[0].tolist()]}).encode()
FORMS = {
    "ours": ("/v1/images/7.png", b""),
    "the Open Inference Protocol's": (INFER, ROW),
    "TensorFlow Serving's": (PREDICT, PREDICT_BODY),
}


@pytest.fixture(scope="module")
def spent(served):
    """The server, after the one image of a key was drawn."""
    assert ask(served[0], "spent")[0] == 200
    return served


def document(form, path, status, kind, title, detail, **facts):
    """Return the body of an error in a form."""
    if form != "ours":
        return {"error": detail}
    told = {"title": title, "status": status, "detail": detail, "instance": path}
    return {"type": f"urn:carfront:problem:{kind}", **told, **facts}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("name", "kind", "title", "detail"),
    [
        ("", "key-missing", "Only holders of keys may do this, and the request has none", MISSING),
        ("x", "key-unknown", "The request has a key that nobody has been given, or not any more",
         UNKNOWN),
    ],
)  # fmt: skip
def test_who_has_no_key_is_told_in_the_form_of_the_protocol(spent, form, name, kind, title, detail):
    path, body = FORMS[form]
    status, fields, told = ask(spent[0], name, path, body)
    assert status == 401
    assert fields["Content-Type"] == (PROBLEM if form == "ours" else "application/json")
    assert fields["WWW-Authenticate"].startswith('Bearer realm="carfront"')
    assert json.loads(told) == document(form, path, 401, kind, title, detail)


@pytest.mark.parametrize("form", FORMS)
def test_who_has_drawn_enough_is_told_in_the_form_of_the_protocol(spent, form):
    path, body = FORMS[form]
    status, fields, told = ask(spent[0], "spent", path, body)
    assert status == 429
    assert fields["Content-Type"] == (PROBLEM if form == "ours" else "application/json")
    assert int(fields["Retry-After"]) > 1
    assert fields["RateLimit"] == f'"images";r=0;t={fields["Retry-After"]}'
    found = json.loads(told)
    wait = re.search(WAIT, found.get("detail") or found["error"])[0]
    facts = {"violated-policies": ["images"], "retry_after_s": found.get("retry_after_s")}
    title = "The key has drawn as many images as it may for now"
    detail = SPENT.format(wait=wait)
    assert found == document(form, path, 429, "rate-exceeded", title, detail, **facts)


def test_call_that_a_key_does_not_allow_is_told_the_same_words(spent):
    _, caller = spent
    assert call(caller, "")[:2] == (grpc.StatusCode.UNAUTHENTICATED, MISSING)
    assert call(caller, "x")[:2] == (grpc.StatusCode.UNAUTHENTICATED, UNKNOWN)
    code, words, fields = call(caller, "spent")
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert re.fullmatch(re.escape(SPENT).replace(r"\{wait\}", WAIT), words)
    assert int(fields["retry-after"]) > 1


def test_user_who_would_administer_is_told_so_by_both(spent):
    server, caller = spent
    told = "the key 'spent' is a user's; wanted one with the role admin"
    status, fields, body = ask(server, "spent", "/v2/repository/models/cars-dcgan/load", b"{}")
    assert (status, fields["Content-Type"]) == (403, "application/json")
    assert json.loads(body) == {"error": told}
    load = pb.RepositoryModelLoadRequest(model_name="cars-dcgan")
    with pytest.raises(grpc.RpcError) as refused:
        caller.RepositoryModelLoad(load, metadata=(("x-api-key", "s3cret-spent"),))
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert refused.value.details() == told
