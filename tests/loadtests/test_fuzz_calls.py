"""The fuzzer's calls by gRPC: messages as protobuf reads them, and what is found in answers."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.fuzz import calls, key_cases, messages, wire
from loadtests.fuzz.call import Answer, Call
from loadtests.fuzz.call_conversation import CallConversation, call_conversation
from loadtests.fuzz.call_player import faults, play
from loadtests.fuzz.keys import FREE, HOLDERS, SLOW, text
from loadtests.fuzz.known import Known
from loadtests.fuzz.odd_values import OddValues
from loadtests.fuzz.request import Images
from loadtests.fuzz.verdict import References
from server import keys
from server.grpc import inference_pb2 as pb

ODD = OddValues([1, "a", None], [{"n": 1}], ["text", "\u00e9"])
LATENTS = tuple(bytes([number]) * len(messages.ROW) for number in range(24))
KNOWN = Known(7, ODD, "1", latents=LATENTS)
DRAWN = wire.message((1, b"cars-dcgan"), (6, b"right"))
ID = {"x-request-id": "fuzz-1"}


def read(wanted):
    return pb.ModelInferRequest.FromString(wanted.message)


# what is sent


@given(st.integers(0, 2**64 - 1), st.binary(max_size=300))
def test_fields_are_those_that_protobuf_writes_and_are_read_again(number, text):
    written = wire.message((2, number), (1, text), (2, 7))
    read = pb.StatisticDuration.FromString(wire.message((1, number)))
    assert read.count == number
    assert wire.values(written, 2) == [number, 7]
    assert wire.values(written, 1) == [text]
    assert wire.values(written, 3) == []


@pytest.mark.parametrize("data", [b"\x0a", b"\x0a\x05abc", b"\x80", b"\x0d\0\0\0\0"])
def test_bytes_that_are_no_such_message_are_an_error(data):
    with pytest.raises(ValueError, match=r"message ends|wire type"):
        wire.values(data, 1)


def test_message_is_the_one_that_protobuf_reads():
    latents = b"".join(LATENTS[1:3])
    raw, typed = read(messages.infer(latents)), read(messages.typed(latents))
    assert (raw.model_name, raw.inputs[0].name, raw.inputs[0].datatype) == (
        "cars-dcgan", "latents", "FP32",
    )  # fmt: skip
    assert list(raw.inputs[0].shape) == list(typed.inputs[0].shape) == [2, 100]
    assert list(raw.raw_input_contents) == [latents]
    assert len(typed.inputs[0].contents.fp32_contents) == 200
    assert not typed.raw_input_contents


def test_right_messages_are_read_and_say_what_their_names_do():
    found = {name: read(wanted) for name, wanted in messages.RIGHT_ONES.items()}
    assert found["id"].id == "a \u00e9 \u2603"
    assert found["timeout"].parameters["timeout"].int64_param == 30_000_000
    assert [x.name for x in found["both outputs"].outputs] == ["images_float", "images"]
    assert list(found["shape in one field"].inputs[0].shape) == [1, 100]
    assert list(found["numbers one by one"].inputs[0].contents.fp32_contents) == [0.25] * 100


def test_same_seed_makes_the_same_calls_of_every_case_each_with_an_id_of_its_own():
    def made(number):
        return call_conversation(KNOWN.call_maker(number))

    assert made(3) == made(3) != made(4)
    asked = [call for number in range(1500) for call in made(number).calls]
    assert len({call.request_id for call in asked}) == len(asked)
    kinds = {call.kind for call in asked}
    for names in (messages.RIGHT_ONES, messages.WRONG_ONES, messages.OF_OTHERS):
        assert {f"call: {name}" for name in names} <= kinds
    assert {f"call: {method}" for method, *_ in calls.TOLD} <= kinds


# what is found in answers


def call(**parts):
    return Call(**{"kind": "a case", "request_id": "fuzz-1", "method": "", "messages": [], **parts})


def references(images=b"right"):
    found = References("http://127.0.0.1:1")
    found.images = lambda wanted: images
    return found


@pytest.mark.parametrize(
    ("wanted", "given", "fault"),
    [
        ({}, Answer("INTERNAL", "x"), "INTERNAL, which is not documented"),
        ({}, Answer("UNKNOWN", "x"), "UNKNOWN, which is not documented"),
        ({}, Answer("NOT_FOUND", "x"), "NOT_FOUND instead of OK"),
        ({"codes": {"NOT_FOUND"}}, Answer("NOT_FOUND"), "NOT_FOUND without words"),
        ({"codes": {"UNAVAILABLE"}}, Answer("UNAVAILABLE", "x"), "UNAVAILABLE without retry-after"),
        ({}, Answer("OK", "", [], {"x-request-id": "fuzz-2"}), "the answer to another call"),
        ({"images": Images(3)}, Answer("OK", "", [DRAWN]), "an answer without x-request-id"),
        ({"images": Images(3)}, Answer("OK", "", [], ID), "wrong images"),
        (
            {"images": Images(3)},
            Answer("OK", "", [wire.message((6, b"wrong"))], ID),
            "wrong images",
        ),
    ],
)
def test_fault_of_an_answer_is_named(wanted, given, fault):
    assert fault in [x.kind for x in faults(call(**wanted), given, references())]


@pytest.mark.parametrize(
    ("wanted", "given"),
    [
        ({"images": Images(3)}, Answer("OK", "", [DRAWN], ID)),
        ({"codes": {"NOT_FOUND"}}, Answer("NOT_FOUND", "why", [], ID)),
        (
            {"codes": {"RESOURCE_EXHAUSTED"}, "is_for_library": True},
            Answer("RESOURCE_EXHAUSTED", "too large"),
        ),
    ],
)
def test_right_answer_has_no_fault(wanted, given):
    assert faults(call(**wanted), given, references()) == []


@pytest.fixture
def port():
    """The port of a server that echoes a message, and fails where there is none."""

    def echo(received, context):
        message = next(received, None)
        if message is None:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no message")
        return message

    handler = grpc.stream_unary_rpc_method_handler(echo)
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(4))
        server = grpc.server(pool)
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("echo", {"Echo": handler}),)
        )
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        stack.callback(lambda: server.stop(None).wait())
        yield port


@pytest.mark.parametrize("is_at_once", [True, False])
def test_calls_are_made_and_their_ends_are_noted(port, is_at_once):
    made = partial(call, method="/echo/Echo", messages=[DRAWN])
    asked = [
        made(images=Images(3), is_compressed=True),
        made(messages=[]).owes("INVALID_ARGUMENT"),
        made(messages=[DRAWN, b"more"]),
        made(most_answers=0).owes("CANCELLED"),
        made(method="/echo/Other").owes("OK"),
    ]
    noise = b"GET / HTTP/1.1\r\n\r\n"
    outcome = play(port, CallConversation(asked, is_at_once, noise), references())
    assert [code for _, code in outcome.answers] == [
        "OK", "INVALID_ARGUMENT", "OK", "CANCELLED", "UNIMPLEMENTED",
    ]  # fmt: skip
    assert {(asked.index(x), fault.kind) for x, fault in outcome.faults} == {
        (0, "an answer without x-request-id"),
        (4, "UNIMPLEMENTED instead of OK"),
    }


# keys


def test_file_of_keys_is_one_that_the_server_reads():
    found = {key.name: key for key in keys.parse(text())}
    assert {x.name: (x.is_admin, x.most) for x in HOLDERS} == {
        name: (key.is_admin, key.most_at_once) for name, key in found.items()
    }
    assert found["free"].digest == keys.digest_of(FREE.key)


@pytest.mark.parametrize(
    ("place", "sent", "codes"),
    [
        (key_cases.Place("/healthz", is_open=True), key_cases.Given("nothing"), {200}),
        (key_cases.Place("/", images=1), key_cases.Given("nothing"), {401}),
        (key_cases.Place("/", is_admins=True), key_cases.Given("key", (), FREE), {403}),
        (key_cases.Place("/", images=99), key_cases.Given("key", (), FREE), {200}),
        (key_cases.Place("/", images=8), key_cases.Given("key", (), SLOW), {200, 429}),
        (key_cases.Place("/", images=9), key_cases.Given("key", (), SLOW), {400}),
        (key_cases.Place("/", status=404), key_cases.Given("key", (), SLOW), {404}),
    ],
)
def test_it_is_known_what_a_key_is_owed(place, sent, codes):
    assert key_cases.owed(place, sent, key_cases.HTTP) == codes


def test_request_has_the_key_of_its_case_and_no_other():
    known = Known(7, ODD, "1", latents=LATENTS, key=FREE.key)
    for number in range(200):
        asked = key_cases.request(known.maker(number))
        given = [x.partition(b": ")[2] for x in asked.fields if x.startswith(b"X-API-Key")]
        assert len(given) <= 1
        if "nothing" in asked.kind:
            assert not given
        control = known.maker(number).control()
        assert b"X-API-Key: " + FREE.key in control.fields
