"""The examples with curl in the READMEs run as they stand there, and get what stands there.

A command leaves the files that it names. Where a comment begins the line below it, that tells the
status of the answer, and of an error the sentence in it, of any other a part of what is printed.
"""

import json
import re
import shutil
import subprocess
import tarfile
from os import environ
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from server.codecs.formats import ALIASES, FORMATS
from server.keys import digest_of
from tests.servers import PYTHON, get, serving, until
from tests.small_model import small_model

ROOT = Path(__file__).parents[1]
READMES = (ROOT / "README.md", ROOT / "server" / "README.md")
BLOCKS = {
    f"{path.relative_to(ROOT)} {number}": block
    for path in READMES
    for number, (language, block) in enumerate(
        re.findall(r"^```(\w*)\n(.+?)^```$", path.read_text(), re.MULTILINE | re.DOTALL)
    )
    if not language and "curl " in block and "make " not in block
}
DOCUMENTED = "127.0.0.1:8000"
CURLRC = 'silent\nwrite-out = "%{stderr}%{http_code} %{content_type}\\n"\n'
"""Each answer's status and type come last on stderr."""
KINDS = {".png": "PNG", ".jpg": "JPEG", ".webp": "WEBP", ".gif": "GIF"}
KEY, TOKEN = "carfront_of-alice", "token"
KEYED = re.compile(r"\$KEY\b")
NEEDS_CARS = re.compile(r"/v1/restore|:predict|/versions/2|-F photo|^# ", re.MULTILINE)
"""What the small model has not, or tells otherwise."""
SECONDS = re.compile(r"\b(about|in) [0-9.]+ s\b")
"""How long images take and a caller is to wait, which no example knows."""

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    models = tmp_path_factory.mktemp("models")
    small_model(models)
    with serving(PYTHON, {"CARFRONT_WORKERS": "1", "CARFRONT_MODELS": str(models)}) as running:
        yield running


@pytest.fixture(scope="module")
def server_of_cars():
    with serving(PYTHON, {"CARFRONT_WORKERS": "1", "CARFRONT_ADMIN_TOKEN": TOKEN}) as running:
        yield running


@pytest.fixture(scope="module")
def server_in_a_hurry():
    """A server of cars that waits no longer than a test should for what does not arrive."""
    env = {"CARFRONT_WORKERS": "1", "CARFRONT_READ_TIMEOUT_S": "2"}
    with serving(PYTHON, env) as running:
        until(lambda: "is warm for all batch sizes" in running.log.read_text())
        yield running


@pytest.fixture(scope="module")
def server_with_keys(tmp_path_factory):
    """A server that knows the key of alice, as the README's command makes it."""
    folder = tmp_path_factory.mktemp("keys")
    limits = re.search(r"^alice +user +[0-9a-f]{64} +(.+)$", READMES[1].read_text(), re.MULTILINE)
    assert limits
    (folder / "keys").write_text(f"alice user {digest_of(KEY.encode()).hex()} {limits[1]}\n")
    small_model(folder / "models")
    env = {
        "CARFRONT_WORKERS": "1",
        "CARFRONT_MODELS": str(folder / "models"),
        "CARFRONT_API_KEYS_FILE": str(folder / "keys"),
    }
    with serving(PYTHON, env) as running:
        yield running


class Command(NamedTuple):
    """A command of an example, and what stands below it."""

    text: str
    status: int
    told: str


def commands_of(block):
    """Return the lines of ``block`` that assign variables, as one text, and its commands."""
    lines = re.sub(r"\\\n", "", block).replace("|\n", "| ").splitlines()
    assigned = [x for x in lines if re.match(r"\w+=\S", x)]
    commands = []
    for line in lines:
        if line.startswith("# "):
            status, _, told = line[2:].partition(" ")
            commands[-1] = commands[-1]._replace(status=int(status), told=told)
        elif line and line not in assigned:
            commands.append(Command(line, 200, ""))
    return "\n".join(assigned), commands


@pytest.mark.parametrize("name", BLOCKS)
def test_example_gets_what_stands_below_it(name, request, tmp_path):
    block = BLOCKS[name]
    kind = "server_with_keys" if KEYED.search(block) else "server"
    if re.search("^# 408", block, re.MULTILINE):
        kind = "server_in_a_hurry"
    if kind == "server" and NEEDS_CARS.search(block):
        kind = "server_of_cars"
    server = request.getfixturevalue(kind)
    (tmp_path / ".curlrc").write_text(CURLRC)
    folder = tmp_path / "here"
    folder.mkdir()
    env = {
        **environ,
        "CURL_HOME": str(tmp_path),
        "PATH": f"{Path(PYTHON).parent}:{environ['PATH']}",
        "KEY": KEY,
        "TOKEN": TOKEN,
    }
    assigned, commands = commands_of(block.replace(DOCUMENTED, urlsplit(server.url).netloc))
    for command in commands:
        script = f"set -euo pipefail\n{assigned}\n{command.text}"
        ended = subprocess.run(["bash", "-c", script], cwd=folder, env=env, capture_output=True)
        assert ended.returncode == 0 or command.status >= 400, (command, ended.stderr)
        if "curl " in command.text:
            check_answer(command, ended)
        if command.status == 200:
            for each in re.findall(r"-o (\S+)", command.text):
                check_file(folder / each)
        if "| tar -x" in command.text:
            assert (folder / "70.png").read_bytes().startswith(b"\x89PNG")


def check_answer(command, ended):
    """Check the answer's status, and that it says what stands below the command."""
    status, _, mimetype = ended.stderr.decode().splitlines()[-1].partition(" ")
    said = ended.stdout.decode(errors="replace")
    assert int(status) == command.status, (command, said)
    if command.status < 400:
        assert command.told in said, command
        return
    error = json.loads(said)
    if mimetype == "application/json":
        assert list(error) == ["error"], command
    else:
        assert (mimetype, error["status"]) == ("application/problem+json", command.status), command
    sentence = error.get("error") or error["detail"]
    assert SECONDS.sub("", sentence) == SECONDS.sub("", command.told), command


def check_file(file):
    """Check that a file is what its name says."""
    if file.suffix == ".npy":
        assert np.load(file).ndim == 4
    elif file.suffix == ".json":
        json.loads(file.read_text())
    elif file.suffix == ".tar":
        with tarfile.open(file) as found:
            assert len(found.getnames()) == 6
    elif file.suffix in KINDS:
        with Image.open(file) as image:
            image.load()
            assert image.format == KINDS[file.suffix]
    else:
        assert file.stat().st_size > 0


def shown():
    """Yield the method and the path of each URL that an example asks for."""
    for block in BLOCKS.values():
        assigned, commands = commands_of(block)
        variables = dict(re.findall(r"^(\w+)=(\S+)$", assigned, re.MULTILINE))
        for command in commands:
            text = re.sub(r"\$(\w+)", lambda x, v=variables: v.get(x[1], x[0]), command.text)
            for call in text.split("curl ")[1:]:
                found = re.search(rf"http://{DOCUMENTED}(/[^\s'\"?]*)", call)
                is_post = re.search(r"-d |--data|-F |-X POST", call)
                if found and command.status < 400:
                    yield "post" if is_post else "get", found[1]


def test_every_route_has_an_example(server_of_cars):
    """A route to a certain version has one in any of its formats."""
    examples = set(shown())
    told = json.loads(get(f"{server_of_cars.url}/openapi.json"))["paths"]
    for path, methods in told.items():
        if path == "/docs.css" or "{label}" in path:  # no version has a label
            continue
        of_any = re.sub(r"\.(png|jpg|webp|npy|gif)$", "", path)
        template, suffix = (of_any, r"(\.\w+)?") if "{version}" in path else (path, "")
        pattern = re.sub(r"\\{\w+\\}", r"[^/.:]+", re.escape(template)) + suffix
        for method in methods:
            assert any(m == method and re.fullmatch(pattern, p) for m, p in examples), (
                path,
                method,
            )


def test_every_format_has_an_example():
    blocks = "\n".join(BLOCKS.values())
    named = {ALIASES.get(x, x) for x in re.findall(r'"format": "([\w.]+)"', blocks)}
    assert named >= set(FORMATS) - {"png"}
