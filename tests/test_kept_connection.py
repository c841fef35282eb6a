"""A request that is lost, in time or late."""

from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from tests import kept_connection
from tests.kept_connection import CameLate, KeptConnection
from tests.patience import PATIENCE_S


class Once(BaseHTTPRequestHandler):
    """Answers one request, and ends the connection without a word."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"once")
        self.close_connection = True

    def log_message(self, *args):
        pass


@pytest.fixture
def place():
    """Yield the host:port of a server that answers once."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Once) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("waits_s", "is_late"), [(PATIENCE_S, False), (0.0, True)])
def test_lost_request_came_late_where_the_server_waited_for_long(
    place, monkeypatch, waits_s, is_late
):
    monkeypatch.setattr(kept_connection, "LAST_REQUEST_S", waits_s)
    with closing(KeptConnection(place)) as connection:
        assert connection.answer_to("GET", "/").read() == b"once"
        with pytest.raises(ConnectionError) as lost:
            connection.answer_to("GET", "/")
        assert isinstance(lost.value, CameLate) == is_late
        assert connection.answer_to("GET", "/").read() == b"once"  # over a new one


def test_server_that_is_not_there_is_no_matter_of_time(place, monkeypatch):
    monkeypatch.setattr(kept_connection, "LAST_REQUEST_S", 0.0)
    with (
        closing(KeptConnection("127.0.0.1:1")) as connection,
        pytest.raises(ConnectionRefusedError),
    ):
        connection.answer_to("GET", "/")
