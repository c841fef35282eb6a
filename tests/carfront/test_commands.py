"""What commands print and how they end, against a server of the tests' own."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections import namedtuple

import numpy as np
import pytest

from carfront.command_line import cli, run
from carfront.commands.progress import Progress
from carfront.stops import STOPPED
from tests.bundles import ROOT
from tests.carfront.fakes import fake_server, images_of, problem
from tests.clock import Clock
from tests.servers import PATIENCE_S, until

Ended = namedtuple("Ended", "returncode stdout stderr")
COMMANDS = sorted(cli.commands)


@pytest.fixture
def carfront(capsys):
    """Run a command line, and return its status and what it prints."""

    def carfront(*arguments):
        status = run([*map(str, arguments)])
        return Ended(status, *capsys.readouterr())

    return carfront


@pytest.fixture
def server():
    with fake_server() as fake:
        yield fake


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example_of_itself(name):
    command = cli.commands[name]
    text = command.get_help(command.make_context(name, [], resilient_parsing=True))
    assert command.help
    example = re.search(r"Example:\n\s+carfront (\w+)(.*)", text)
    assert example[1] == name
    command.make_context(name, shlex.split(example[2].partition(" >> ")[0]))


def test_help_has_the_exit_statuses(carfront):
    ended = carfront("--help")
    assert ended.returncode == 0
    assert "Exit statuses:" in ended.stdout
    assert {*re.findall(r"^    (\d+)", ended.stdout, re.MULTILINE)} >= {*"012345", "130"}


@pytest.mark.parametrize(
    ("fault", "status", "said"),
    [
        (problem(400, "seed is 7; wanted 8"), 3, "error: seed is 7; wanted 8\n"),
        (problem(401, "there is no key"), 3, "error: there is no key\n"),
        (problem(503, "full", Retry_After=60), 4, "error: full\n"),
        (problem(504, "not done within 1 s"), 4, "error: not done within 1 s\n"),
        (problem(500, "the model failed"), 1, "error: the model failed\n"),
    ],
)
def test_an_error_is_the_servers_sentence_and_a_status(
    carfront, server, tmp_path, fault, status, said
):
    server.faults.append(fault)
    place = tmp_path / "set"
    urls = ("--url", server.url, "--patience", 0)
    ended = carfront("generate", "--seeds", "0:5", "-o", place, *urls)
    assert (ended.returncode, ended.stderr) == (status, said)
    assert not place.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("get",),
        ("get", "-5"),
        ("get", "7", "-o", "car.bmp"),
        ("get", "7", "--model", "cars"),
        ("generate", "--seeds", "0:5"),
        ("generate", "--seeds", "0:5", "-o", "x", "--shard-mb", "1"),
        ("nothing",),
        ("verify",),
    ],
)
def test_what_a_command_does_not_know_is_status_2(carfront, arguments):
    ended = carfront(*arguments)
    assert ended.returncode == 2
    assert "Usage: " in ended.stderr


def test_seeds_that_are_none_are_a_sentence_and_status_2(carfront, tmp_path):
    ended = carfront("generate", "--seeds", "7", "-o", tmp_path)
    assert (ended.returncode, ended.stderr[:22]) == (2, "error: seeds is '7'; w")


def test_generate_asks_servers_and_verify_looks_again(carfront, server, tmp_path):
    done = carfront("generate", "--seeds", "5:800", "-o", tmp_path, "--format", "npy", "--url",
                    server.url, "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    index = json.loads(done.stdout)
    images = np.load(tmp_path / index["shards"][0]["name"])
    np.testing.assert_array_equal(images, images_of(range(5, 800)))
    found = carfront("verify", tmp_path, "--all", "--url", server.url)
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith("795 images in 1 files are as they were written; 795 drawn")


def test_verify_without_a_data_set_is_a_sentence(carfront, tmp_path):
    ended = carfront("verify", tmp_path / "none")
    assert ended.returncode == 1
    assert ended.stderr.endswith("has no index; wanted what carfront generate wrote\n")


def test_generate_into_one_tar_is_done_once(carfront, server, tmp_path):
    wanted = ("generate", "--seeds", "0:700", "-o", tmp_path / "cars.tar", "--url", server.url)
    assert carfront(*wanted).returncode == 0
    before = (tmp_path / "cars.tar").stat().st_mtime_ns
    again = carfront(*wanted)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "cars.tar").stat().st_mtime_ns == before
    assert sorted(x.name for x in tmp_path.iterdir()) == ["cars.tar", "cars.tar.json"]
    other = carfront("generate", "--seeds", "0:9", "-o", tmp_path / "cars.tar", "--url", server.url)
    assert other.returncode == 1
    assert "holds another data set" in other.stderr


def test_parts_have_seeds_and_folders_of_their_own(carfront, server, tmp_path):
    wanted = ("generate", "--seeds", "0:300", "-o", tmp_path, "--url", server.url, "--json")
    ended = carfront(*wanted, "--part", 2)
    assert json.loads(ended.stdout)["seeds"] == {"first": 600, "end": 900}
    assert (tmp_path / "part-00002" / "index.json").is_file()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_who_waits_for_a_full_server_may_be_stopped(server, tmp_path, number, status):
    server.faults += [None] + [problem(503, "full", Retry_After=1)] * 100
    wanted = ("generate", "--seeds", "0:900", "-o", tmp_path, "--url", server.url)
    process = subprocess.Popen(
        [sys.executable, "-m", "carfront", *map(str, wanted)], stderr=subprocess.PIPE, text=True
    )
    until(lambda: len(server.requests) > 3)
    process.send_signal(number)
    told = process.communicate(timeout=PATIENCE_S)[1]
    assert process.returncode == status
    assert f"0 of 900 images are in {tmp_path}, in whole files. The same command goes on." in told
    assert [x.name for x in tmp_path.iterdir()] == ["index.json"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("get", 7), STOPPED),
        (("sheet",), STOPPED),
        (("morph", 7, 21), STOPPED),
        (("models",), STOPPED),
        (("bench",), STOPPED),
        (("bench", "--seconds", 0.1), STOPPED),
        (("generate", "--seeds", "0:9", "-o", "new"), STOPPED),
        (("generate", "--seeds", "0:9", "-o", "new.tar"), STOPPED),
        (("verify", "set", "--url", "URL"), STOPPED),
        (("verify", "set", "--url", "URL"), "The same command begins anew."),
    ],
    ids=lambda x: x[0] if isinstance(x, tuple) else "",
)
def test_ctrl_c_ends_every_command_with_a_sentence(carfront, server, tmp_path, arguments, said):
    carfront("generate", "--seeds", "0:300", "-o", tmp_path / "set", "--url", server.url)
    before, asked = sorted(tmp_path.rglob("*")), len(server.requests)
    one_comes = "--seconds" in arguments or said != STOPPED
    server.holds = lambda body: not one_comes or json.loads(body or "{}").get("n", 1) > 1
    wanted = [server.url if x == "URL" else str(x) for x in arguments]
    process = subprocess.Popen(
        [sys.executable, "-m", "carfront", *wanted],
        cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "CARFRONT_URL": server.url, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    until(lambda: any(server.holds(body) for *_, body in server.requests[asked:]))
    process.send_signal(signal.SIGINT)
    told = process.communicate(timeout=PATIENCE_S)[1]
    assert process.returncode == 130
    assert told.endswith(f"{said}\n")
    assert "Traceback" not in told
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed(carfront, shell):
    assert "_CARFRONT_COMPLETE" in carfront("completion", shell).stdout


def test_a_log_has_rate_and_time_left():
    clock = Clock()
    progress = Progress(1000, 100, "cars", clock)
    clock.now = 10.0
    progress.advance(400)
    assert progress.line() == "cars: 500 of 1,000 images, 40 images/s, 12 s left"
