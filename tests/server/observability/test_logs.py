"""Log lines are JSON that a collector can read, or text; both name the request."""

import io
import json
import logging
import os
import subprocess
import sys
import threading
from contextvars import Context
from pathlib import Path

import pytest

from server.observability import logs

ROOT = Path(__file__).parents[3]


def record(message="%d images", args=(3,), exc_info=None):
    return logging.LogRecord("server.x", logging.WARNING, "x.py", 1, message, args, exc_info)


def in_request(function, **environ):
    def run():
        return logs.begin_request(environ), function()

    return Context().run(run)


def test_json_line_has_what_a_collector_needs():
    line = json.loads(Context().run(logs.JsonLines().format, record()))
    assert line["message"] == "3 images"
    assert (line["level"], line["logger"]) == ("warning", "server.x")
    assert line["time"].endswith("Z")
    assert "request_id" not in line


@pytest.mark.parametrize(
    ("parent", "trace_id"),
    [
        (f"00-{'4bf92f35' * 4}-00f067aa0ba902b7-01", "4bf92f35" * 4),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", None),
        ("00-4bf9-00f0-01", None),
        ("nonsense", None),
    ],
)
def test_line_names_the_callers_trace(parent, trace_id):
    _, text = in_request(lambda: logs.JsonLines().format(record()), HTTP_TRACEPARENT=parent)
    assert json.loads(text).get("trace_id") == trace_id


def test_exception_stays_on_its_line():
    try:
        raise ValueError("two\nlines")
    except ValueError:
        text = logs.JsonLines().format(record(exc_info=sys.exc_info()))
    assert "\n" not in text
    assert "ValueError: two\nlines" in json.loads(text)["exception"]


@pytest.mark.parametrize("formatter", [logs.JsonLines(), logs.Text()])
def test_lines_of_a_request_carry_its_id(formatter):
    request_id, text = in_request(lambda: formatter.format(record()))
    assert request_id in text
    assert request_id not in Context().run(formatter.format, record())


def test_caller_may_name_its_request():
    assert in_request(str, HTTP_X_REQUEST_ID="my-id:7.3")[0] == "my-id:7.3"


@pytest.mark.parametrize("given", ["", "a b", "a\nb", "é", "x" * 65, '"'])
def test_name_that_could_break_a_log_is_replaced(given):
    assert in_request(str, HTTP_X_REQUEST_ID=given)[0] != given


def test_ids_differ_between_requests_and_processes():
    first, second = in_request(str)[0], in_request(str)[0]
    assert first != second
    logs.renew()
    assert in_request(str)[0].split("-")[0] != first.split("-")[0]


def test_form_follows_the_terminal_unless_chosen(monkeypatch):
    def form(chosen):
        logs.configure("info", chosen)
        (handler,) = logging.getLogger().handlers
        return type(handler.formatter)

    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    for module, name in (
        (sys, "stderr"),
        (sys, "excepthook"),
        (sys, "unraisablehook"),
        (threading, "excepthook"),
    ):
        monkeypatch.setattr(module, name, getattr(module, name))
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert (form("auto"), form("text")) == (logs.JsonLines, logs.Text)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert (form("auto"), form("json")) == (logs.Text, logs.JsonLines)
    logging.captureWarnings(False)


PRINTS = {
    "a thread that raises": "threading.Thread(target=lambda: 1 / 0).start()",
    "the main thread that raises": "1 / 0",
    "a finalizer that raises": "Broken()",
    "a warning": "warnings.warn('two\\nlines')",
    "a library that prints": "traceback.print_stack(); print('half', end='', file=sys.stderr)",
    "an exit with words": "sys.exit('carfront cannot start')",
    "a log line that cannot be made": "logging.error('%d', 'three')",
    "a hang that is dumped": "sys.stderr.fileno()",
}
PRINT = """
import logging, sys, threading, traceback, warnings
from server.observability.logs import configure
class Broken:
    def __del__(self):
        1 / 0
configure("info", "json")
configure("info", "json")  # a reload reads the settings again
{}
"""


@pytest.mark.parametrize("code", PRINTS.values(), ids=PRINTS)
def test_whatever_is_printed_is_json_where_the_log_is(code):
    ended = subprocess.run(
        [sys.executable, "-W", "always", "-c", PRINT.format(code)], capture_output=True, text=True
    )
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert bool(lines) == ("fileno" not in code)
    for line in lines:
        assert line["level"] in ("warning", "error", "critical")
        assert line["message"]
    if "1 / 0" in code:
        assert "ZeroDivisionError" in lines[0]["exception"]


def test_log_whose_reader_is_gone_ends_nobody():
    reader, writer = os.pipe()
    os.close(reader)
    code = PRINT.format("logging.error('nobody reads this'); print('on')")
    ended = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=writer, text=True
    )
    os.close(writer)
    assert ended.stdout == "on\n"


@pytest.mark.parametrize(
    "variable", [{"CARFRONT_ADMIN_TOKENS": "s3cret"}, {"CARFRONT_MODELS": "/nowhere"}]
)
def test_refused_boot_is_one_json_line(variable):
    command = [sys.executable, "-m", "gunicorn", "-c", "server/gunicorn.conf.py"]
    environ = os.environ | variable | {"CARFRONT_LOG_FORMAT": "json"}
    ended = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True)
    assert ended.returncode == 1
    *_, line = [json.loads(line) for line in ended.stderr.splitlines()]
    assert line["message"].startswith("carfront cannot start: ")
    assert "s3cret" not in ended.stderr
