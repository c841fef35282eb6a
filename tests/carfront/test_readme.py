"""The examples of carfront/README.md run over loopback; all command lines are understood."""

import re
import shlex
from pathlib import Path

import pytest

from carfront.command_line import cli
from tests.carfront.fakes import fake_server

ROOT = Path(__file__).parents[2]
README = (ROOT / "carfront" / "README.md").read_text()
CODE = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
DOCUMENTS = ("README.md", "carfront/README.md", "docs/data-sets.md")
LINES = [
    line
    for name in DOCUMENTS
    for line in re.findall(r"^carfront (.*)$", (ROOT / name).read_text(), re.MULTILINE)
]


@pytest.mark.parametrize("code", CODE, ids=["sync", "async"])
def test_code_runs(code):
    with fake_server() as server:
        # The fake server has neither morphs nor models.
        lines = [x for x in code.splitlines() if ".morph(" not in x and ".models(" not in x]
        exec("\n".join(lines).replace("http://127.0.0.1:8000", server.url), found := {})
    assert len(found["cars"]) == 10_000


@pytest.mark.parametrize("line", LINES)
def test_command_lines_are_understood(line):
    name, *rest = shlex.split(line, comments=True)
    if ">>" in rest:
        rest = rest[: rest.index(">>")]
    cli.commands[name].make_context(name, rest)
