"""The page's files: who gets them, below which paths, and what browsers may load."""

import re
from urllib.parse import urljoin

import pytest

from server.app import create_app
from server.config import ServerConfig
from server.keys import digest_of

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def page(http, **fields):
    return http.get("/", headers=HTML | fields)


def files_of(text):
    return re.findall(r'(?:href|src)="(page/[^"]*)"', text)


def test_page_loads_nothing_but_the_servers_own_files(http):
    answer = page(http)
    policy = dict(x.split(" ", 1) for x in answer.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|\sstyle=|https?://", answer.text)
    assert len(files_of(answer.text)) == 3


def test_files_are_kept_for_ever_and_an_older_pages_are_the_new_ones(http):
    for file in files_of(page(http).text):
        answer = http.get(f"/{file}")
        assert answer.status_code == 200
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        older = http.get(re.sub("page/[0-9a-f]*", "/page/0123456789abcdef", file))
        assert older.data == answer.data
        assert older.headers["Cache-Control"] == "no-cache"
    assert page(http).headers["Cache-Control"] == "no-cache"


def test_modules_import_files_that_are_there(http):
    (app,) = [x for x in files_of(page(http).text) if x.endswith("app.js")]
    waiting, seen = [f"/{app}"], set()
    while waiting:
        address = waiting.pop()
        answer = http.get(address)
        assert answer.mimetype == "text/javascript", address
        seen.add(address)
        found = {urljoin(address, x) for x in re.findall(r'from "([^"]*)"', answer.text)}
        waiting += found - seen - set(waiting)
    assert len(seen) == 11


@pytest.mark.parametrize("path", ["/page/", "/page/x/", "/page/x/y.js", "/page/x/../app.py"])
def test_no_other_file_is_to_be_had(http, path):
    assert http.get(path).status_code == 404


def test_head_and_other_methods(http):
    whole = page(http)
    head = http.head("/", headers=HTML)
    assert (head.status_code, head.data) == (200, b"")
    assert head.headers["Content-Length"] == str(len(whole.data))
    assert http.post("/", headers=HTML).status_code == 405


@pytest.mark.parametrize(
    ("prefix", "base"),
    [
        ("/cars", "/cars/"),
        ("/a/b-c/", "/a/b-c/"),
        ("//evil.example", None),
        ("https://evil.example", None),
        ('/"><script>', None),
        ("", None),
    ],
)
def test_links_are_relative_to_the_prefix_that_a_proxy_tells(http, prefix, base):
    text = page(http, **{"X-Forwarded-Prefix": prefix}).text
    assert re.findall(r'<base href="([^"]*)">', text) == ([base] if base else [])
    assert "{{" not in text
    assert "X-Forwarded-Prefix" in page(http).headers["Vary"]


def test_links_are_relative_to_the_path_at_which_a_wsgi_server_mounts_the_application(http):
    text = http.get("/", headers=HTML, environ_overrides={"SCRIPT_NAME": "/cars"}).text
    assert '<base href="/cars/">' in text


def test_page_needs_no_key_but_what_it_shows_does(client, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text(f"alice user {digest_of(b's3cret').hex()}\n")
    client.loop = NoWatch()
    http = create_app(ServerConfig(api_keys_file=keys), client).test_client()
    assert page(http).status_code == 200
    assert "cars-dcgan" not in page(http).text
    assert http.get(f"/{files_of(page(http).text)[0]}").status_code == 200
    assert http.get("/").status_code == 401
    for path in ("/v1/latents/7", "/v1/directions"):
        assert http.get(path).status_code == 401
        assert http.get(path, headers={"X-API-Key": "s3cret"}).status_code == 200


class NoWatch:
    """Stand in for an event loop on which nothing happens."""

    def __getattr__(self, name):
        return lambda *_: None
