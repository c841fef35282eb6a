"""Each wrong tensor, stream and picture is reported, in a sentence."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from loadtests.answers import Answer, Late, Refused, WrongAnswer
from loadtests.load import checks
from loadtests.load.facts import facts_of
from tests.loadtests.fakes import SHAPE, draw, npy_of

IMAGES = draw(7, 3)


def json_of(document, status=200, kind="application/json"):
    return Answer(status, {"content-type": kind}, json.dumps(document).encode())


def tensor_of(images, **changes):
    """Return images as a binary answer of the Open Inference Protocol, changed in places."""
    facts = {
        "name": "images",
        "datatype": "UINT8",
        "shape": list(images.shape),
        "parameters": {"binary_data_size": images.nbytes},
    }
    head = json.dumps({"outputs": [facts | changes]}).encode()
    headers = {
        "content-type": "application/octet-stream",
        "inference-header-content-length": str(len(head)),
    }
    return Answer(200, headers, head + images.tobytes())


def test_a_right_tensor_passes():
    assert np.array_equal(checks.check_tensor(tensor_of(IMAGES), 3, SHAPE), IMAGES)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (tensor_of(IMAGES[:2]), r"\[2, 32, 32, 3\]\), wanted"),
        (tensor_of(IMAGES, datatype="FP32"), "FP32"),
        (tensor_of(IMAGES, name="floats"), "floats"),
        (tensor_of(IMAGES, parameters={}), "not described"),
        (tensor_of(IMAGES, parameters={"binary_data_size": 1}), "has 9216 bytes, and says 1"),
        (Answer(200, {"content-type": "application/octet-stream"}, b""), "not described"),
        (json_of({}), "Content-Type"),
    ],
)
def test_a_wrong_tensor_is_reported(answer, says):
    with pytest.raises(WrongAnswer, match=says):
        checks.check_tensor(answer, 3, SHAPE)


def test_a_tensor_that_is_cut_or_goes_on_is_reported():
    whole = tensor_of(IMAGES)
    for body in (whole.body[:-1], whole.body + b"x"):
        with pytest.raises(WrongAnswer, match="bytes, and says 9216"):
            checks.check_tensor(Answer(200, whole.headers, body), 3, SHAPE)


def test_right_predictions_pass_and_wrong_ones_are_reported():
    floats = (IMAGES / 127.5 - 1).astype(np.float32)
    found = checks.check_predictions(json_of({"predictions": floats.tolist()}), 3, SHAPE)
    assert np.array_equal(found, floats)
    for document, says in (
        ({"predictions": floats[:2].tolist()}, r"\(2, 32, 32, 3\), wanted"),
        ({"predictions": (floats * 3).tolist()}, "not in"),
        ({"predictions": (floats * np.nan).tolist()}, "not in"),
        ({"predictions": [[1], [1, 2]]}, "no predictions"),
        ({"outputs": floats.tolist()}, "no predictions: KeyError"),
    ):
        with pytest.raises(WrongAnswer, match=says):
            checks.check_predictions(json_of(document), 3, SHAPE)


def pieces_of(body, size=1000):
    return [body[at : at + size] for at in range(0, len(body), size)]


def test_a_right_stream_passes_by_its_first_images_and_the_digest_of_all():
    images = draw(7, 200)
    first, digest = checks.check_npy_stream(pieces_of(npy_of(images)), 200, SHAPE)
    assert np.array_equal(first, images[: checks.KEPT])
    images[-1, -1, -1, -1] ^= 1
    _, other = checks.check_npy_stream(pieces_of(npy_of(images)), 200, SHAPE)
    assert other != digest


def test_a_short_stream_is_kept_whole():
    first, _ = checks.check_npy_stream([npy_of(IMAGES)], 3, SHAPE)
    assert np.array_equal(first, IMAGES)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (npy_of(IMAGES)[:-1], "the stream has 9343 bytes, wanted 9344"),
        (npy_of(IMAGES) + b"x", "the stream has 9345 bytes, wanted 9344"),
        (npy_of(IMAGES[:2]), r"\(2, 32, 32, 3\), wanted"),
        (npy_of(IMAGES.astype(np.float32)), "float32"),
        (b"", "no .npy file"),
        (b"<html>", "no .npy file"),
    ],
)
def test_a_wrong_stream_is_reported(body, says):
    with pytest.raises(WrongAnswer, match=says):
        checks.check_npy_stream(pieces_of(body), 3, SHAPE)


def webp_of(images):
    first, *others = (Image.fromarray(image) for image in images)
    stream = io.BytesIO()
    first.save(stream, "WEBP", save_all=True, append_images=others, duration=100, lossless=True)
    return Answer(200, {"content-type": "image/webp"}, stream.getvalue())


def test_a_right_picture_passes_with_all_of_its_frames():
    assert checks.check_picture(webp_of(IMAGES), "webp", (32, 32), 3).size == (32, 32)
    for size, frames in (((32, 32), 2), ((64, 32), 3)):
        with pytest.raises(WrongAnswer, match="3 frames; wanted"):
            checks.check_picture(webp_of(IMAGES), "webp", size, frames)


def test_a_picture_that_does_not_decode_is_reported():
    whole = webp_of(IMAGES)
    with pytest.raises(WrongAnswer, match="does not decode"):
        cut = Answer(200, whole.headers, whole.body[:-40])
        checks.check_picture(cut, "webp", (32, 32), 3)


def test_latents_are_one_row():
    row = np.linspace(-1, 1, 100, dtype=np.float32)
    found = checks.check_latents(json_of({"latents": [row.tolist()]}), 100)
    assert np.array_equal(found, row[None])
    with pytest.raises(WrongAnswer, match="not one row of 100"):
        checks.check_latents(json_of({"latents": [row[1:].tolist()]}), 100)


def test_an_error_of_an_inference_protocol_has_words():
    checks.check_error(json_of({"error": "no such input"}, 400))
    for answer, says in (
        (json_of({"error": "x"}), "is 200, wanted 4xx"),
        (json_of({"error": ""}, 400), "no words"),
        (json_of(["x"], 400), "no JSON with a member error"),
        (json_of({"error": "x"}, 400, "text/html"), "Content-Type"),
    ):
        with pytest.raises(WrongAnswer, match=says):
            checks.check_error(answer)


@pytest.mark.parametrize("status", [429, 503])
def test_a_refusal_that_says_when_to_ask_again_is_an_honest_one(status):
    words = b'{"error": "17 images are waiting, retry in 2.5 s"}'
    with pytest.raises(Refused, match=f"^{status}: N images are waiting, retry in N s$") as refused:
        Answer(status, {"retry-after": "3"}, words).require_status(200)
    assert refused.value.retry_after_s == 3
    for headers in ({}, {"retry-after": "soon"}):
        with pytest.raises(WrongAnswer, match="without a Retry-After") as wrong:
            Answer(status, headers, b"").require_status(200)
        assert not isinstance(wrong.value, Refused)


def test_a_deadline_that_has_passed_is_late_and_no_refusal():
    with pytest.raises(Late, match="504"):
        Answer(504, {}, b"").require_status(200, 304)


def test_the_front_page_tells_of_the_model():
    page = {
        "model": "cars",
        "version": "2",
        "image": {"shape": SHAPE},
        "latents": {"dim": 100},
    }
    facts = facts_of(json_of(page))
    assert (facts.base, facts.shape, facts.has_classes) == (
        "/v1/models/cars/versions/2",
        SHAPE,
        False,
    )
    assert facts_of(json_of(page | {"classes": ["a", "b"]})).has_classes
    for name in page:
        lacking = {key: value for key, value in page.items() if key != name}
        with pytest.raises(WrongAnswer, match=f"KeyError.'{name}'"):
            facts_of(json_of(lacking))
