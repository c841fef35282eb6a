"""The comparison measures every column of every server, or says why it does not."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from loadtests.compare import __main__ as compare
from loadtests.compare import columns, environments, faults, rates, report
from loadtests.compare.columns import Found
from loadtests.compare.contenders import Contender, contender_of
from loadtests.compare.units import UNITS
from loadtests.peers.catalog import PEERS
from loadtests.readings import MeasureError
from loadtests.serving import ROOT
from tests.loadtests.fakes import SERVE_PYTHON
from tests.servers import UNHURRIED

OURS = Contender("ours", str(ROOT), sys.executable)
PEER = Contender("flask", PEERS["flask"].module, sys.executable)


def test_server_is_a_checkout_a_module_or_a_peer_by_its_name():
    assert contender_of("ours=.", "python") == Contender("ours", ".", "python")
    assert contender_of("it=a.module", "python") == Contender("it", "a.module", "python")
    found = contender_of("triton", "python")
    assert (found.place, found.peer, found.python) == (PEERS["triton"].module, PEERS["triton"], "")


@pytest.mark.parametrize("text", ["unknown", "=place", "name="])
def test_server_that_is_none_of_these_is_refused(text, capsys):
    with pytest.raises(SystemExit):
        compare.main(["ours=.", text])
    assert "neither NAME=PLACE nor one of flask" in capsys.readouterr().err


@pytest.mark.parametrize("servers", [["ours=."], ["ours=.", "ours=.."]])
def test_fewer_than_two_names_are_refused(servers, capsys):
    with pytest.raises(SystemExit):
        compare.main(servers)
    assert "name two servers or more" in capsys.readouterr().err


def test_unknown_column_is_refused_with_those_that_there_are(capsys):
    with pytest.raises(SystemExit):
        compare.main(["ours=.", "flask", "--only", "speed"])
    assert "128 connections" in capsys.readouterr().err


def test_every_column_is_measured_in_one_part_and_has_a_unit():
    parts = [name for part in columns.PARTS for name in part.columns]
    assert sorted([*parts, *columns.START_COLUMNS]) == sorted(UNITS)


def test_peer_whose_environment_cannot_be_made_is_skipped_with_the_reason(monkeypatch, capsys):
    failed = SimpleNamespace(returncode=2, stderr="no wheel of it\nmake: *** Error 1\n")
    monkeypatch.setattr(environments.subprocess, "run", lambda *_, **__: failed)
    monkeypatch.setattr(environments, "ROOT", ROOT / "nowhere")
    environments.python_of.cache_clear()
    found, skipped = compare.with_environments([OURS, contender_of("triton", "")])
    assert found == [OURS]
    assert skipped == {"triton": "make .venvs/peers-triton/.done failed: no wheel of it"}
    assert "triton is skipped: make" in capsys.readouterr().out


def measured(monkeypatch, contender, error):
    """Measure two columns, the first of which fails."""

    def fail(*_):
        raise error

    parts = (
        columns.Part(("1 connection",), fail),
        columns.Part(("memory",), lambda *_: {"memory": 1.0}),
    )
    monkeypatch.setattr(columns, "PARTS", parts)
    monkeypatch.setattr(columns, "SETTLE_S", 0.0)
    monkeypatch.setattr(columns.checks, "check", lambda server: None)
    found = Found({}, {})
    server = SimpleNamespace(contender=contender)
    columns._measure(server, {"1 connection", "memory"}, 1, found)
    return found


@pytest.mark.parametrize("contender", [PEER, OURS])
def test_column_that_cannot_apply_is_a_dash_and_the_others_are_measured(monkeypatch, contender):
    found = measured(monkeypatch, contender, faults.NotMeasured("it is one process"))
    assert found == Found({"memory": 1.0}, {"1 connection": "it is one process"})


@pytest.mark.parametrize("error", [MeasureError("failed:\n 500"), TimeoutError("failed: 500")])
def test_peer_that_fails_has_a_dash_but_our_own_failure_ends_the_run(monkeypatch, error):
    assert measured(monkeypatch, PEER, error).dashes == {"1 connection": "failed: 500"}
    with pytest.raises(type(error), match="500"):
        measured(monkeypatch, OURS, error)


def test_table_has_medians_ratios_of_each_round_and_reasons():
    def found(ours, flask):
        return {
            "ours": Found({"start": ours, "memory": 200.0}, {}),
            "flask": Found({"start": flask}, {"memory": "it says nothing"}),
        }

    rounds = [found(1.0, 2.0), found(1.0, 9.0), found(4.0, 12.0)]
    lines = report.table(rounds, [OURS, PEER]).splitlines()
    assert "| start (s until ready) | 1.00 (1.00) | 9.00 (3.00) |" in lines
    assert "| memory (MB, PSS) | 200 (1.00) | - |" in lines
    assert lines[-1] == "- flask: memory: it says nothing"


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("  10 requests in 4.00s, 30.00KB read", ""),
        ("  10 requests in 4.00s, 1.00KB read", "have 1024 bytes in all"),
        ("  0 requests in 4.00s, 0.00B read", "no request was answered"),
    ],
)
def test_answers_that_are_too_small_to_hold_images_do_not_count(said, error):
    if error:
        with pytest.raises(MeasureError, match=error):
            rates.answers(said, 1)
    else:
        assert rates.answers(said, 1) == 10


def test_load_without_an_answer_is_no_result(monkeypatch):
    said = "  0 requests in 4.00s, 0.00B read\n     50%    0.00us\nRequests/sec:      0.00"
    monkeypatch.setattr(rates.wrk, "run", lambda command: said)
    for load in (rates.LOADS[0], rates.LOADS[2]):
        with pytest.raises(MeasureError, match="no request was answered"):
            rates.measured("http://127.0.0.1:1", load, 1, OURS.requests)


@pytest.mark.servers
def test_two_servers_are_compared_with_every_answer_right(tmp_path):
    """The columns are there and right; how fast this machine is decides nothing."""
    saved = tmp_path / "compared.json"
    command = [sys.executable, "-m", "loadtests.compare", "ours=.", f"flask={PEER.place}"]
    wanted = ["start", "first image", "32 connections", "CPU of singles", "memory", "killed"]
    command += ["--rounds=1", f"--python={SERVE_PYTHON}", f"--save={saved}"]
    command += [f"--only={name}" for name in wanted]
    env = {**os.environ, **UNHURRIED}
    for seconds in (1, 10, 100):  # as many as this machine needs
        ended = subprocess.run(
            [*command, f"--seconds={seconds}"], cwd=ROOT, env=env, capture_output=True, text=True
        )
        if "no request was answered" not in ended.stderr + ended.stdout:
            break
    assert ended.returncode == 0, ended.stderr
    found = json.loads(saved.read_text())
    assert found["dashes"] == []
    (values,) = found["rounds"]
    for server in ("ours", "flask"):
        assert values[server].keys() == set(wanted)
        assert all(value > 0 for value in values[server].values())
        assert values[server]["first image"] >= values[server]["start"]
    assert {"python", "commit"} <= found["versions"]["ours"].keys()
    assert {"flask", "gunicorn"} <= found["versions"]["flask"].keys()
    assert ended.stdout.splitlines()[-1].startswith("| killed (s until right answers)")
