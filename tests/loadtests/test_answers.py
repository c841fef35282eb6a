"""Each wrong answer is reported, in a sentence."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from loadtests import answers
from loadtests.answers import Answer, Memory, Refused, WrongAnswer
from tests.loadtests.fakes import SHAPE, chunk, draw, npy_of, png_of, sheet_of

PNG = png_of(draw(7, 1)[0])


def png_answer(body: bytes) -> Answer:
    return Answer(200, {"content-type": "image/png", "carfront-seed": "7"}, body)


def npy_answer(images: np.ndarray, after: bytes = b"") -> Answer:
    return Answer(200, {"content-type": "application/x-npy"}, npy_of(images) + after)


def problem_answer(status: int, document: object, kind: str = "application/problem+json") -> Answer:
    return Answer(status, {"content-type": kind}, json.dumps(document).encode())


def test_a_right_png_passes_and_decodes():
    body = answers.check_png(png_answer(PNG), 1, SHAPE)
    assert np.array_equal(answers.pixels(body), draw(7, 1)[0])


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_images_of_any_colors_pass_decode_and_are_not_taken_for_others(channels):
    image = np.arange(2 * 5 * channels, dtype=np.uint8).reshape(2, 5, channels)
    stream = io.BytesIO()
    Image.fromarray(image.squeeze()).save(stream, "PNG")
    answer = png_answer(stream.getvalue())
    body = answers.check_png(answer, 1, image.shape)
    answers.check_row(image, body)
    for other in {1, 3, 4} - {channels}:
        with pytest.raises(WrongAnswer, match="wanted 8-bit"):
            answers.check_png(answer, 1, (2, 5, other))


@pytest.mark.parametrize("n", [2, 5, 16])
def test_a_right_sheet_passes_and_every_tile_is_the_image_of_its_seed(n):
    body = answers.check_png(png_answer(png_of(sheet_of(draw(7, n)))), n, SHAPE)
    sheet = answers.pixels(body)
    for row in range(n):
        answers.check_row(answers.tile(sheet, row, n, SHAPE), png_of(draw(7 + row, 1)[0]))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "signature"),
        (b"GIF89a" + PNG, "signature"),
        (PNG[:-1], "cut short"),
        (PNG[:-20], "cut short"),
        (PNG[:8], "chunks"),
        (PNG + b"\n", "nothing after"),
        (PNG[:45] + bytes((PNG[45] ^ 1,)) + PNG[46:], "checksum"),
        (PNG[:33] + PNG[-12:], "IDAT"),
        (png_of(np.zeros((64, 32, 3), np.uint8)), "IHDR says 32x64, wanted 32x32"),
        (PNG[:8] + chunk(b"IHDR", PNG[16:24] + b"\x08\x06\0\0\0") + PNG[33:], "8-bit RGB"),
    ],
)
def test_a_wrong_png_is_reported(body, says):
    with pytest.raises(WrongAnswer, match=says):
        answers.check_png(png_answer(body), 1, SHAPE)


def test_pixels_that_do_not_decode_are_reported():
    body = PNG[:33] + chunk(b"IDAT", b"\x78\x01 no deflate stream") + PNG[-12:]
    answers.check_png(png_answer(body), 1, SHAPE)  # the envelope is right: only decoding tells
    with pytest.raises(WrongAnswer, match="does not decode"):
        answers.pixels(body)


def test_a_changed_byte_for_the_same_seed_is_reported_with_the_seed():
    memory = Memory()
    memory.check("seed 7", PNG)
    memory.check("seed 7", PNG)
    memory.check("seed 8", PNG[:-1])
    with pytest.raises(WrongAnswer, match="seed 7 gave other bytes than before"):
        memory.check("seed 7", PNG[:-1] + b"x")


def test_an_answer_of_another_seed_is_reported():
    answers.check_seed(png_answer(PNG), 7)
    with pytest.raises(WrongAnswer, match="Carfront-Seed is another"):
        answers.check_seed(png_answer(PNG), 8)
    with pytest.raises(WrongAnswer, match="Carfront-Seed is absent"):
        answers.check_seed(npy_answer(draw(7, 1)), 7)


def test_a_right_npy_passes():
    assert np.array_equal(answers.check_npy(npy_answer(draw(7, 64)), 64, SHAPE), draw(7, 64))


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (npy_answer(draw(7, 63)), "number of images"),
        (npy_answer(draw(7, 64)[:, :16]), r"\(16, 32, 3\), wanted \(32, 32, 3\)"),
        (npy_answer(draw(7, 64).astype(np.float32)), "dtype is float32, wanted uint8"),
        (npy_answer(np.uint8(7)), "an image of the npy"),
        (npy_answer(draw(7, 64), after=b"\0"), "goes on"),
        (npy_answer(np.array([{}], dtype=object)), "does not load"),
        (Answer(200, {"content-type": "application/x-npy"}, b""), "does not load"),
        (Answer(200, {"content-type": "application/x-npy"}, npy_of(draw(7, 9))[:-1]), "load"),
        (Answer(200, {"content-type": "image/png"}, npy_of(draw(7, 64))), "Content-Type"),
    ],
)
def test_a_wrong_npy_is_reported(answer, says):
    with pytest.raises(WrongAnswer, match=says):
        answers.check_npy(answer, 64, SHAPE)


def test_a_row_that_differs_from_the_png_of_its_seed_is_reported():
    answers.check_row(draw(7, 1)[0], PNG)
    with pytest.raises(WrongAnswer, match="differs from the PNG of its seed"):
        answers.check_row(draw(8, 1)[0], PNG)


def test_a_full_server_is_told_by_its_title_whatever_the_seconds_it_says():
    for wait in ("3", "17"):
        answer = problem_answer(503, {"title": "The queue is full"})
        answer = Answer(503, {**answer.headers, "retry-after": wait}, answer.body)
        with pytest.raises(Refused, match=r"^503: The queue is full$"):
            answers.check_png(answer, 1, SHAPE)


def test_an_error_without_a_problem_document_is_a_failure_too():
    with pytest.raises(WrongAnswer, match=r"502, wanted 200$"):
        answers.check_png(Answer(502, {}, b"<html>"), 1, SHAPE)


def test_a_refusal_with_a_problem_document_passes():
    answers.check_problem(problem_answer(400, {"status": 400, "detail": "n is 0"}))


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (png_answer(PNG), "status of a bad request is 200, wanted 4xx"),
        (problem_answer(500, {"status": 500, "detail": "x"}), "is 500, wanted 4xx"),
        (problem_answer(400, {"status": 400, "detail": "x"}, "text/html"), "Content-Type"),
        (problem_answer(400, {"status": 422, "detail": "x"}), "another status"),
        (problem_answer(400, {"status": 400, "detail": ""}), "no detail"),
        (problem_answer(400, [1]), "another status"),
        (Answer(400, {"content-type": "application/problem+json"}, b"{"), "not JSON"),
    ],
)
def test_a_wrong_refusal_is_reported(answer, says):
    with pytest.raises(WrongAnswer, match=says):
        answers.check_problem(answer)
