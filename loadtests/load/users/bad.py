"""A client as they should not be: it errs, sends what is no HTTP, hangs up, and reads slowly."""

import http.client
import json
import random
import socket
import ssl
import time
from typing import Any
from urllib.parse import urlsplit

from locust import task

from loadtests import answers
from loadtests.answers import Answer, WrongAnswer
from loadtests.load.checks import check_error
from loadtests.load.users.caller import SEEDS, Caller

MISTAKES: tuple[tuple[str, str, dict[str, Any] | None], ...] = (
    ("GET", "/v1/images/-1.png", None),
    ("GET", f"/v1/images/{SEEDS}.png", None),
    ("POST", "/v1/images", {"n": 1, "seed": -1}),
    ("POST", "/v1/images", {"n": 0, "seed": 7}),
    ("POST", "/v1/images", {"n": 5000, "seed": 7}),
    ("POST", "/v1/images", {"n": 16, "seed": SEEDS - 1}),
    ("POST", "/v1/images", {"n": 1, "seed": 7, "format": "bmp"}),
)
INFER_MISTAKES: tuple[dict[str, Any], ...] = (
    {},
    {"inputs": []},
    {"inputs": [{"name": "latents", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]},
    {"inputs": [{"name": "latents", "shape": [1], "datatype": "BYTES", "data": ["x"]}]},
)
RUBBISH: tuple[bytes, ...] = (
    b"rubbish\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(64)) + b"\r\n\r\n",
    b"GET /v1/images/7.png HTTP/1.1\r\nno field\r\n\r\n",
    b"POST /v1/images HTTP/1.1\r\nHost: x\r\nContent-Length: minus one\r\n\r\n",
)
"""What is no HTTP; the server cannot know where a next request would begin."""
SLOW_IMAGES = 256
SLOW_PIECE = 64 * 1024
SLOW_PAUSE_S = 0.05
"""The seconds for which a slow reader does not read, between two pieces."""


class BadClient(Caller):
    """A client that does what it should not, and is owed an error or a right answer."""

    weight = 2

    @task(4)
    def mistake(self) -> None:
        """Make a bad request, whose refusal is the success."""
        method, path, body = random.choice(MISTAKES)
        self.ask("bad request", method, path, answers.check_problem, body)

    @task(2)
    def infer_mistake(self) -> None:
        """Make a bad request of the Open Inference Protocol."""
        path = f"/v2/models/{self.facts.model}/infer"
        self.ask("bad request", "POST", path, check_error, random.choice(INFER_MISTAKES))

    @task(1)
    def rubbish(self) -> None:
        """Send what is no HTTP: the answer is an error or none, and the connection ends."""
        with self.measured("rubbish"), self.connected() as connection:
            connection.sendall(random.choice(RUBBISH))
            answer = b""
            try:
                while piece := connection.recv(4096):
                    answer += piece
            except ConnectionResetError:
                pass  # the server need not read all of it
            if answer and not answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4")):
                raise WrongAnswer("the answer to what is no HTTP is no error of the client's")

    @task(1)
    def hang_up(self) -> None:
        """Ask for images and hang up: nothing is owed, and nobody else may notice."""
        body = json.dumps({"n": 64, "seed": self.draw_seed(64), "format": "npy"}).encode()
        head = f"POST /v1/images HTTP/1.1\r\nHost: {urlsplit(self.host).netloc}\r\n"
        fields = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        with self.measured("hang up"), self.connected() as connection:
            connection.sendall((head + fields).encode() + body[: random.choice((1, len(body)))])

    @task(1)
    def read_slowly(self) -> None:
        """Ask for images and read them slowly: they come all the same, and rightly."""
        seed = self.draw_seed(SLOW_IMAGES)
        body = json.dumps({"n": SLOW_IMAGES, "seed": seed, "format": "npy"}).encode()
        place = urlsplit(self.host)
        connection = http.client.HTTPConnection(place.hostname or "", place.port)
        with self.measured("slow reader"), self.connected() as connection.sock:
            connection.request("POST", "/v1/images", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            headers = {key.lower(): value for key, value in response.headers.items()}
            answer = Answer(response.status, headers, _read_slowly(response))
            images = answers.check_npy(answer, SLOW_IMAGES, self.facts.shape)
            self.goldens.check(answer, images, seed)

    def connected(self) -> socket.socket:
        """Return a bare connection to the server."""
        place = urlsplit(self.host)
        is_tls = place.scheme == "https"
        address = (place.hostname, place.port or (443 if is_tls else 80))
        connection = socket.create_connection(address, timeout=self.network_timeout)
        if not is_tls:
            return connection
        return ssl.create_default_context().wrap_socket(connection, server_hostname=place.hostname)


def _read_slowly(response: http.client.HTTPResponse) -> bytes:
    body = bytearray()
    while piece := response.read(SLOW_PIECE):
        body += piece
        time.sleep(SLOW_PAUSE_S)
    return bytes(body)
