"""The page of the HTTP interface: all of the document, and nothing from elsewhere."""

import re
import shlex
from html import unescape
from html.parser import HTMLParser

import pytest

from server.api.openapi.page import kind_of


class Seen(HTMLParser):
    """Notes what a page has."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.links, self.ids, self.inline = set(), [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.tags.add(tag)
        self.links += [given[x] for x in ("href", "src") if x in given]
        self.ids += [given["id"]] if "id" in given else []
        self.inline += [x for x in given if x == "style" or x.startswith("on")]


@pytest.fixture
def page(http):
    answer = http.get("/docs")
    assert answer.status_code == 200
    return answer


def test_page_tells_of_every_operation_and_schema(http, page):
    told = http.get("/openapi.json").json
    ids = Seen(page.text).ids
    for methods in told["paths"].values():
        for operation in methods.values():
            assert operation["operationId"] in ids
    for name in told["components"]["schemas"]:
        assert f"schema-{name}" in ids


def test_page_needs_no_script_and_no_other_host(http, page):
    seen = Seen(page.text)
    assert not {"script", "style", "iframe", "img"} & seen.tags
    assert not seen.inline
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'self';")
    for link in seen.links:
        assert link in ("docs.css", "openapi.json") or link.removeprefix("#") in seen.ids
    style = http.get("/docs.css")
    assert style.content_type == "text/css; charset=utf-8"
    assert not re.search(r"url\(|@import|//", style.text)


def test_names_on_the_page_are_unique(page):
    ids = Seen(page.text).ids
    assert len(set(ids)) == len(ids)


def test_page_is_whole_html(page):
    closed = re.findall("</(details|div|dl|section|main|header)>", page.text)
    opened = re.findall("<(details|div|dl|section|main|header)[ >]", page.text)
    assert sorted(opened) == sorted(closed)


def commands_of(http, environ=None, **fields):
    """Return the commands of the page, whose caller has sent header ``fields``."""
    page = http.get("/docs", headers=fields, environ_overrides=environ or {}).text
    return [unescape(x) for x in re.findall("<pre[^>]*>(curl .*?)</pre>", page)]


@pytest.mark.parametrize(
    ("fields", "address"),
    [
        ({"Host": "127.0.0.1:8123"}, "http://127.0.0.1:8123"),
        ({"Host": "[::1]:8000"}, "http://[::1]:8000"),
        (
            {
                "Host": "10.0.0.7:8000",
                "X-Forwarded-Host": "cars.example.org",
                "X-Forwarded-Prefix": "/cars",
                "X-Forwarded-Proto": "https",
            },
            "https://cars.example.org/cars",
        ),
        ({"Host": "a.org", "X-Forwarded-Prefix": "/cars/"}, "http://a.org/cars"),
        ({"Host": "a.org", "X-Forwarded-Prefix": "//evil.example"}, "http://a.org"),
        ({"Host": "a.org", "X-Forwarded-Proto": "javascript"}, "http://a.org"),
        ({"Host": "a.org", "X-Forwarded-Host": "b.org/;reboot"}, "http://a.org"),
        ({"Host": "a';reboot;'"}, "http://localhost"),
    ],
)
def test_commands_name_the_address_at_which_the_caller_sees_the_page(http, fields, address):
    commands = commands_of(http, **fields)
    assert len(commands) > 20
    for command in commands:
        *_, url = shlex.split(command.partition(" -H ")[0])
        assert url.startswith(f"{address}/"), command
        assert url.count("//") == 1
    assert "X-Forwarded-Prefix" in http.get("/docs").headers["Vary"]


def test_commands_know_the_path_at_which_a_wsgi_server_mounts_the_application(http):
    for command in commands_of(http, {"SCRIPT_NAME": "/cars"}, Host="a.org"):
        assert "http://a.org/cars/" in command


def test_page_knows_dark_and_light(http):
    assert "prefers-color-scheme: dark" in http.get("/docs.css").text


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 32}, "integer, 1 to 32"),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 1}, "number, above 0 to 1"),
        ({"enum": ["a", "b"]}, "a, b"),
        ({"const": "FP32"}, '"FP32"'),
        ({"type": ["string", "null"]}, "string or null"),
        (
            {"type": "array", "items": {"$ref": "#/x/Row"}, "minItems": 1},
            "array of Row, at least 1",
        ),
        ({"oneOf": [{"$ref": "#/x/A"}, {"type": "object"}]}, "A or object"),
        ({}, "any"),
    ],
)
def test_schemas_are_told_in_words(schema, words):
    assert kind_of(schema) == words
