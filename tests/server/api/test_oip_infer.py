"""The bodies of requests for inference: read as the protocol has it, or refused in one sentence."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.api import oip_infer
from server.api.generate import EncodedAnswer, Timings
from server.api.oip_infer import answer_parts, read_infer
from server.api.oip_service import DrawnOutput, Inferred, InferRequest, WantedOutput
from server.api.oip_tensors import LatentsShape
from server.errors import InvalidRequest

IN_JSON = WantedOutput("images", is_binary=False)
IN_BYTES = WantedOutput("images", is_binary=True)
SHAPE = LatentsShape(3, 8)
ROW = [0.5, -1.0, 2.0]
PACKED = np.array(ROW, "<f4").tobytes()


def tensor(**changes):
    """The one input, in JSON."""
    return {"name": "latents", "shape": [1, 3], "datatype": "FP32", "data": ROW} | changes


def packed_tensor(**changes):
    """The one input, of which the numbers are bytes."""
    facts = tensor(parameters={"binary_data_size": 12}) | changes
    del facts["data"]
    return facts


def read(document, header_length=None, is_octets=False):
    return read_infer(json.dumps(document).encode(), header_length, is_octets, SHAPE)


def read_binary(document, binary):
    head = json.dumps(document).encode()
    return read_infer(head + binary, str(len(head)), True, SHAPE)


def test_json_has_all_that_is_asked():
    wanted = read({"id": "a", "inputs": [tensor()], "parameters": {"timeout": 1500000}})
    assert wanted.latents.tolist() == [ROW]
    assert (wanted.request_id, wanted.outputs, wanted.timeout_s) == ("a", (IN_JSON,), 1.5)


@pytest.mark.parametrize("named", ["dog", 1, None])
def test_class_is_a_parameter_of_the_request(named):
    assert read({"inputs": [tensor()], "parameters": {"class": named}}).named == named


CLASSES = {"name": "class", "shape": [2, 1], "datatype": "INT64"}
TWO = {"shape": [2, 3], "data": ROW + ROW}


@pytest.mark.parametrize(
    "changes",
    [
        {"data": [4, 0]},
        {"data": [[4], [0]]},
        {"data": [4, 0], "shape": [2]},
        {"data": [4, 0], "datatype": "INT32"},
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_each_row_may_have_a_class_in_json(changes, first):
    inputs = [CLASSES | changes, tensor(**TWO)]
    wanted = read({"inputs": inputs if first else inputs[::-1]})
    assert wanted.named.tolist() == [4, 0]
    assert wanted.latents.tolist() == [ROW, ROW]


@pytest.mark.parametrize(("datatype", "dtype"), [("INT64", "<i8"), ("INT32", "<i4")])
@pytest.mark.parametrize("first", [True, False])
def test_each_row_may_have_a_class_in_bytes(datatype, dtype, first):
    numbers = np.array([4, 0], dtype).tobytes()
    size = {"binary_data_size": len(numbers)}
    inputs = [
        CLASSES | {"datatype": datatype, "parameters": size},
        packed_tensor(shape=[2, 3], parameters={"binary_data_size": 24}),
    ]
    parts = [numbers, PACKED + PACKED]
    if not first:
        inputs, parts = inputs[::-1], parts[::-1]
    wanted = read_binary({"inputs": inputs}, b"".join(parts))
    assert wanted.named.tolist() == [4, 0]
    assert wanted.latents.tolist() == [ROW, ROW]
    mixed = [CLASSES | {"datatype": datatype, "parameters": size}, tensor(**TWO)]
    assert read_binary({"inputs": mixed}, numbers).named.tolist() == [4, 0]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"data": [1]}, "data of class is 1 numbers; wanted 2, as the shape has it"),
        ({"data": [1, 1.0]}, "data of class is 1.0; wanted whole numbers alone"),
        ({"data": [1, True]}, "data of class is True; wanted whole numbers alone"),
        ({"data": [1, 2**63]}, f"data of class is {2**63}; wanted whole numbers alone"),
        ({"data": ["dog", "cat"]}, "data of class is 'dog'; wanted whole numbers alone"),
        ({}, "data of class is None; wanted a list of whole numbers"),
        ({"data": [1, 1], "datatype": "FP32"}, "datatype of class is 'FP32'; wanted INT64 or INT3"),
        ({"data": [1, 1], "datatype": None}, "datatype of class is None; wanted INT64 or INT32"),
        (
            {"data": [1, 1, 0], "shape": [3]},
            r"shape of class is \[3\]; wanted \[2, 1\] or \[2\], a class for each row of latents",
        ),
        ({"data": [[1, 0], [0, 1]], "shape": [2, 2]}, r"shape of class is \[2, 2\]; wanted \[2, 1"),
        ({"data": [1, 1], "shape": [2.0]}, r"shape of class is \[2\.0\]; wanted"),
        ({"parameters": {"binary_data_size": 8}}, "binary_data_size of class is 8; wanted 16, as"),
    ],
)
def test_classes_that_are_not_one_for_each_row_are_refused_in_words(changes, told):
    with pytest.raises(InvalidRequest, match=told):
        read({"inputs": [tensor(**TWO), CLASSES | changes]})


def test_class_is_named_once_and_never_alone():
    classes = CLASSES | {"data": [1, 1]}
    with pytest.raises(InvalidRequest, match="parameter class is 'dog'; wanted none beside the i"):
        read({"inputs": [tensor(**TWO), classes], "parameters": {"class": "dog"}})
    with pytest.raises(
        InvalidRequest, match=r"inputs is \['class'\]; wanted a list of one tensor,"
    ):
        read({"inputs": [classes]})
    with pytest.raises(InvalidRequest, match="number of inputs is 3"):
        read({"inputs": [tensor(**TWO), classes, classes]})


def test_bytes_behind_the_json_are_the_numbers():
    wanted = read_binary({"inputs": [packed_tensor()]}, PACKED)
    assert wanted.latents.tolist() == [ROW]
    assert wanted.outputs == (IN_JSON,)


def test_whole_body_may_be_counted_as_json():
    body = json.dumps({"inputs": [tensor()]}).encode()
    assert read_infer(body, str(len(body)), False, SHAPE).latents.tolist() == [ROW]


@pytest.mark.parametrize("header_length", ["0", "00", None])
def test_body_may_be_the_one_input_and_nothing_else(header_length):
    wanted = read_infer(PACKED * 2, header_length, True, SHAPE)
    assert wanted.latents.tolist() == [ROW, ROW]
    assert wanted.outputs == (IN_BYTES,)


def test_json_is_json_though_it_is_called_octets():
    assert read({"inputs": [tensor()]}, is_octets=True).latents.tolist() == [ROW]


@pytest.mark.parametrize(
    ("body", "header_length"),
    [(PACKED[:-1], None), (PACKED[:-1], "0"), (b"", "0"), (b"", None), (PACKED * 9, "0")],
)
def test_raw_body_of_no_whole_rows_or_too_many_is_refused(body, header_length):
    with pytest.raises(InvalidRequest):
        read_infer(body, header_length, True, SHAPE)


@pytest.mark.parametrize(
    ("request_parameters", "outputs", "is_binary"),
    [
        ({}, None, False),
        ({}, [], False),
        ({}, [{"name": "images"}], False),
        ({}, [{"name": "images", "parameters": {"binary_data": True}}], True),
        ({"binary_data_output": True}, None, True),
        ({"binary_data_output": True}, [{"name": "images"}], True),
        ({"binary_data_output": True}, [{"name": "images", "parameters": {"a": 1}}], True),
        (
            {"binary_data_output": True},
            [{"name": "images", "parameters": {"binary_data": False}}],
            False,
        ),
        (None, [{"name": "images", "parameters": None}, {"name": "images"}], False),
    ],
)
def test_output_says_whether_it_is_binary_and_the_request_where_it_does_not(
    request_parameters, outputs, is_binary
):
    document = {"inputs": [tensor()], "outputs": outputs, "parameters": request_parameters}
    assert read(document).outputs == (WantedOutput("images", is_binary),)


def test_outputs_come_in_the_order_asked_each_once_and_as_it_says():
    outputs = [
        {"name": "images_float", "parameters": {"binary_data": True}},
        {"name": "images"},
        {"name": "images_float"},
    ]
    document = {"inputs": [tensor()], "outputs": outputs}
    assert read(document).outputs == (WantedOutput("images_float", True), IN_JSON)


def test_what_is_not_known_is_ignored():
    document = {
        "model_name": "x",
        "inputs": [tensor(more=1, parameters={"b": {}})],
        "outputs": [{"name": "images", "more": []}],
        "parameters": {"a": [1], "sequence_id": "7", "sequence_start": True, "priority": 2},
    }
    assert read(document).latents.tolist() == [ROW]


@pytest.mark.parametrize("request_id", [None, ""])
def test_empty_id_is_none(request_id):
    assert read({"id": request_id, "inputs": [tensor()]}).request_id == ""


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ([], "body"),
        (None, "body"),
        ({}, "inputs is None; wanted a list of one tensor, latents"),
        ({"inputs": []}, "inputs"),
        ({"inputs": {}}, "inputs"),
        ({"inputs": ["latents"]}, "inputs"),
        ({"inputs": [tensor(name="z")]}, "name of an input is 'z'; wanted latents"),
        ({"inputs": [tensor(name=["latents"])]}, "name of an input"),
        ({"inputs": [{"shape": [1, 3]}]}, "name of an input"),
        ({"inputs": [tensor(), tensor()]}, "number of inputs is 2"),
        ({"inputs": [tensor(), tensor(name="z")]}, "name of an input is 'z'"),
        ({"inputs": [tensor(parameters=[])]}, "parameters of latents"),
        ({"inputs": [tensor(parameters={"binary_data_size": 12})]}, "data of latents"),
        ({"inputs": [packed_tensor()]}, "bytes behind the JSON is 0; wanted 12"),
        ({"inputs": [tensor(parameters={"shared_memory_region": "a"})]}, "shared_memory_region"),
        ({"inputs": [tensor()], "id": 7}, "id is 7; wanted a text"),
        ({"inputs": [tensor()], "parameters": []}, "parameters"),
        ({"inputs": [tensor()], "parameters": {"timeout": "5"}}, "timeout is '5'"),
        ({"inputs": [tensor()], "parameters": {"timeout": -1}}, "timeout"),
        ({"inputs": [tensor()], "parameters": {"timeout": True}}, "timeout"),
        ({"inputs": [tensor()], "parameters": {"class": True}}, "class is True; wanted the name"),
        ({"inputs": [tensor()], "parameters": {"class": ["dog"]}}, "class"),
        ({"inputs": [tensor()], "parameters": {"priority": "high"}}, "priority"),
        ({"inputs": [tensor()], "parameters": {"binary_data_output": "yes"}}, "binary_data_output"),
        ({"inputs": [tensor()], "outputs": {}}, "outputs"),
        ({"inputs": [tensor()], "outputs": ["images"]}, "name of an output"),
        ({"inputs": [tensor()], "outputs": [{}]}, "name of an output"),
        ({"inputs": [tensor()], "outputs": [{"name": "z"}]}, "name of an output is 'z'"),
        (
            {"inputs": [tensor()], "outputs": [{"name": "images_float"}, {"name": ["images"]}]},
            "wanted images or images_float",
        ),
        (
            {
                "inputs": [tensor()],
                "outputs": [{"name": "images_float", "parameters": {"classification": 3}}],
            },
            "classification is 3",
        ),
        (
            {"inputs": [tensor()], "outputs": [{"name": "images", "parameters": []}]},
            "parameters of images",
        ),
        (
            {
                "inputs": [tensor()],
                "outputs": [{"name": "images", "parameters": {"binary_data": 1}}],
            },
            "binary_data is 1; wanted true or false",
        ),
        (
            {
                "inputs": [tensor()],
                "outputs": [{"name": "images", "parameters": {"classification": 3}}],
            },
            "classification is 3; wanted none",
        ),
    ],
)
def test_request_that_is_not_the_protocols_is_refused_in_words(document, told):
    with pytest.raises(InvalidRequest, match=told):
        read(document)


@pytest.mark.parametrize(
    ("size", "binary", "told"),
    [
        (24, PACKED * 2, "binary_data_size of latents is 24; wanted 12"),
        (8, PACKED[:8], "binary_data_size"),
        (-12, PACKED, "binary_data_size"),
        ("12", PACKED, "binary_data_size"),
        (True, PACKED, "binary_data_size"),
        (12, PACKED[:8], "bytes behind the JSON is 8; wanted 12"),
        (12, PACKED + b"x", "bytes behind the JSON is 13"),
        (12, b"", "bytes behind the JSON is 0"),
    ],
)
def test_sizes_that_do_not_add_up_are_refused(size, binary, told):
    with pytest.raises(InvalidRequest, match=told):
        read_binary({"inputs": [packed_tensor(parameters={"binary_data_size": size})]}, binary)


def test_bytes_that_no_tensor_says_it_has_are_refused():
    with pytest.raises(InvalidRequest, match="bytes behind the JSON is 12; wanted 0"):
        read_binary({"inputs": [tensor()]}, PACKED)


@pytest.mark.parametrize("length", ["", "-1", "+5", "1.5", "0x5", "abc", "99", "9" * 5000, "²"])
def test_header_length_that_is_none_is_refused(length):
    with pytest.raises(InvalidRequest, match="Inference-Header-Content-Length is "):
        read_infer(b"{}", length, True, SHAPE)


@pytest.mark.parametrize(
    "body",
    [b"hello", b"{", b'{"id":"\xff"}', b"[" * 10**5, b"{} {}", b"\xef\xbb\xbf{}", b'{"a":NaN}'],
)
def test_what_is_no_json_is_told_shortly(body):
    with pytest.raises(InvalidRequest, match=r"body is .*; wanted JSON in UTF-8: ") as error:
        read_infer(body, None, False, SHAPE)
    assert len(str(error.value)) < 250


def test_json_that_would_take_much_more_memory_than_its_bytes_is_not_parsed(monkeypatch):
    monkeypatch.setattr(oip_infer, "LARGE", 100)
    monkeypatch.setattr(oip_infer, "MOST_PARTS", 50)
    with pytest.raises(InvalidRequest, match="wanted JSON of few texts, lists and objects"):
        read({"inputs": [tensor(data=[[]] * 60)]})
    assert read({"inputs": [tensor(data=[*ROW[:2], 10**-200])]}).latents.shape == (1, 3)


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["name", "shape", "data", "parameters", "x"]), inner)
    ),
    max_leaves=10,
)
PARTS = {
    "id": ANY | st.text(),
    "inputs": ANY
    | st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "name": st.just("latents") | ANY,
                "datatype": st.just("FP32") | ANY,
                "shape": st.just([1, 3]) | ANY,
                "data": st.just(ROW) | ANY,
                "parameters": ANY | st.fixed_dictionaries({"binary_data_size": ANY | st.just(12)}),
            },
        ),
        max_size=2,
    ),
    "outputs": ANY
    | st.lists(
        st.fixed_dictionaries(
            {"name": st.just("images") | ANY},
            optional={"parameters": ANY | st.fixed_dictionaries({"binary_data": ANY})},
        ),
        max_size=2,
    ),
    "parameters": ANY | st.fixed_dictionaries({"binary_data_output": ANY}),
}


def read_or_refused(body, header_length, is_octets):
    """Read a body, which must not raise but what the caller is told."""
    try:
        wanted = read_infer(body, header_length, is_octets, SHAPE)
    except InvalidRequest as error:
        assert error.status == 400
        assert len(str(error)) < 400
    else:
        assert wanted.latents.dtype == np.float32
        assert wanted.latents.shape[1] == 3
        assert 1 <= len(wanted.latents) <= SHAPE.most_rows
        assert np.isfinite(wanted.latents).all()


@given(st.fixed_dictionaries({}, optional=PARTS), st.binary(max_size=30) | st.just(PACKED))
def test_any_document_is_read_or_told(document, binary):
    head = json.dumps(document).encode()
    read_or_refused(head, None, False)
    read_or_refused(head + binary, str(len(head)), True)


@given(
    st.binary(max_size=60) | st.text(alphabet='{}[]":,inputs0.5', max_size=60).map(str.encode),
    st.none() | st.integers(-1, 70).map(str) | st.text(max_size=4),
    st.booleans(),
)
def test_any_bytes_are_read_or_told(body, header_length, is_octets):
    read_or_refused(body, header_length, is_octets)


def inferred(request_id, *outputs):
    """The answer to a request for one image of one pixel in each of ``outputs``."""
    wanted = InferRequest(np.array([ROW], np.float32), request_id, outputs)
    drawn = [
        DrawnOutput(
            output,
            EncodedAnswer(body, "cars/2", "cpu/f32", Timings(0.0, 0.0, 0.0), None),
            (1, 1, 1, 3),
        )
        for output, body in zip(outputs, (b"[1,2,3]", b"[0.5,-1.0,1.0]"), strict=False)
    ]
    return Inferred(wanted, drawn, Timings(0.0, 0.0, 0.0))


def test_answer_in_json_has_the_numbers_in_it():
    document, tensors = answer_parts(inferred('a"b\n', IN_JSON))
    assert json.loads(b"".join(document)) == {
        "model_name": "cars",
        "model_version": "2",
        "id": 'a"b\n',
        "outputs": [
            {"name": "images", "datatype": "UINT8", "shape": [1, 1, 1, 3], "data": [1, 2, 3]}
        ],
    }
    assert tensors == []


def test_answer_with_bytes_tells_how_many_and_echoes_no_empty_id():
    parts, tensors = answer_parts(inferred("", IN_BYTES))
    document = json.loads(b"".join(parts))
    assert "id" not in document
    (output,) = document["outputs"]
    assert output["parameters"] == {"binary_data_size": 7}
    assert "data" not in output
    assert tensors == [b"[1,2,3]"]


def test_answer_of_two_outputs_has_each_in_its_own_form():
    floats = WantedOutput("images_float", is_binary=False)
    parts, tensors = answer_parts(inferred("", IN_BYTES, floats))
    images, other = json.loads(b"".join(parts))["outputs"]
    assert images["parameters"] == {"binary_data_size": 7}
    assert (other["name"], other["datatype"]) == ("images_float", "FP32")
    assert other["data"] == [0.5, -1.0, 1.0]
    assert tensors == [b"[1,2,3]"]
