"""A user that draws a data set: thousands of images a request, read as they come."""

import json
import time
from collections.abc import Iterator
from typing import Any

from locust import task
from locust.contrib.fasthttp import FAILURE_EXCEPTIONS

from loadtests import answers
from loadtests.answers import Answer, WrongAnswer
from loadtests.load.checks import check_npy_stream
from loadtests.load.users.caller import Caller, memory

IMAGES = 4096
NAME = "4,096 as npy, streamed"
PIECE = 64 * 1024
"""The bytes that are read at a time."""


class DataSetBuilder(Caller):
    """A program that asks for 4,096 images a request, and never has them whole in memory."""

    weight = 1

    @task
    def part(self) -> None:
        """Ask for a part of the data set, and check it while it comes."""
        seed = self.draw_seed(IMAGES)
        body = json.dumps({"n": IMAGES, "seed": seed, "format": "npy"}).encode()
        fields = {"Content-Type": "application/json", "Carfront-Priority": "bulk"}
        began = time.perf_counter()
        with (
            self.waiting(NAME),
            self.client.request(
                "POST",
                "/v1/images",
                name=NAME,
                data=body,
                headers=fields,
                stream=True,
                catch_response=True,
            ) as response,
        ):
            if not response.status_code:
                return

            def check(answer: Answer) -> None:
                answer.require("application/x-npy")
                images, digest = check_npy_stream(_pieces(response), IMAGES, self.facts.shape)
                response.request_meta["response_time"] = (time.perf_counter() - began) * 1e3
                answers.check_seed(answer, seed)
                self.goldens.check(answer, images, seed)
                if seed in self.popular:
                    plan = answer.headers.get("carfront-plan", "")
                    memory.check(f"seed {seed}, n {IMAGES}, {plan}", digest.encode())

            whole = b"" if response.status_code == 200 else response.content or b""
            self.judged(response, f"{IMAGES} images of seed {seed}", check, whole)


def _pieces(response: Any) -> Iterator[bytes]:
    """Yield the answer as it comes.

    Raises:
        WrongAnswer: the connection breaks before its end.
    """
    try:
        while piece := response.stream.read(PIECE):
            yield piece
    except FAILURE_EXCEPTIONS as error:
        raise WrongAnswer(f"the stream breaks: {type(error).__name__}") from error
