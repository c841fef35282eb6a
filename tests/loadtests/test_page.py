"""The page of performance says what the committed results say."""

import json

import pytest

from loadtests.compare.units import UNITS
from loadtests.page import __main__ as page
from loadtests.page import plots
from loadtests.page.compared import REASONS, ahead, tables
from loadtests.page.replica_tables import STEPS, peaks, steps
from loadtests.page.results import COMMANDS, OTHER, Result, read
from loadtests.page.sections import BEGIN, END, SECTIONS, SOURCES, body, replaced
from loadtests.page.tables import capacity, processors, tune
from loadtests.peers.catalog import PEERS

PAGE = page.PAGE.read_text()


def test_page_is_made_of_the_committed_results():
    """If not: ``make performance``."""
    assert replaced(PAGE, read()) == PAGE


def test_page_names_every_file_of_results_that_it_shows():
    told = PAGE.partition(SOURCES)[2]
    for result in read():
        assert f"results/{result.name}.json" in told


def test_page_has_every_picture_that_it_shows():
    for section in SECTIONS:
        if section.plot:
            name = f"performance/{section.plot[0]}.svg"
            assert (name in PAGE) == (page.PAGE.parent / name).exists()


def test_section_without_results_is_left_out():
    assert body([]) == ""
    assert replaced(f"a\n{BEGIN}\nold\n{END}\nb", []).count("##") == 1


def test_words_around_the_marks_stay():
    made = replaced(f"before\n{BEGIN}\nold\n{END}\nafter", [])
    assert made.startswith("before\n")
    assert made.endswith("\nafter")
    assert "old" not in made


def test_every_section_says_by_which_commands_its_figures_were_made():
    sections = PAGE.partition(BEGIN)[2].partition(SOURCES)[0].split("\n## ")[1:]
    assert sections
    for section in sections:
        told = section.partition("\nMade by:\n")[2]
        (kind,) = {each.kind for each in SECTIONS if section.startswith(f"{each.title}\n")}
        for result in read():
            line = f"- `{result.name}`: `{result.command}`"
            assert (line in told) == (result.kind == kind)


def test_every_kind_of_result_has_a_section():
    assert {each.kind for each in SECTIONS} == set(COMMANDS.values())


def test_results_of_other_commands_have_no_section_but_are_told(tmp_path):
    known = {"command": "python -m loadtests.bench --rounds 1", "loads": {}}
    (tmp_path / "known.json").write_text(json.dumps(known))
    (tmp_path / "other.json").write_text(json.dumps({"command": "python -m loadtests.edges"}))
    (tmp_path / "none.json").write_text("{}")
    kinds = {each.name: each.kind for each in read(tmp_path)}
    assert kinds == {"known": "bench", "none": OTHER, "other": OTHER}


def test_compared_servers_have_medians_and_ratios_round_by_round():
    rounds = [
        {"a": {"rate": 100.0}, "b": {"rate": 200.0}},
        {"a": {"rate": 10.0}, "b": {"rate": 30.0}},
        {"a": {"rate": 50.0}, "b": {}},
    ]
    table = tables([Result("x", "compare", {"rounds": rounds, "hardware": "here"})])
    assert "| rate | 50.00 | 115 (2.50) |" in table


def compared(**columns):
    """Return a result of one round, with the values of ours and of mosec in each column."""
    rounds = [
        {name: {key: both[at] for key, both in columns.items()} for at, name in enumerate(names)}
        for names in [("ours", "mosec")]
    ]
    command = "python -m loadtests.compare ours=. mosec"
    return Result("x", "compare", {"rounds": rounds, "command": command, "hardware": "here"})


def test_server_that_is_ahead_of_ours_is_told_with_the_reason():
    (told,) = ahead(compared(memory=(200.0, 100.0)))
    assert told == f"- mosec is ahead in `memory`, 0.50 of ours: {REASONS['mosec', 'memory']}."
    (told,) = ahead(compared(overload=(0.5, 1.0)))
    assert told == "- mosec is ahead in `overload`, 2.00 of ours: why is not known yet."


def test_no_server_is_ahead_by_less_than_two_that_are_alike_or_where_ours_is():
    assert not ahead(compared(memory=(100.0, 98.0), overload=(0.98, 1.0)))
    assert not ahead(compared(memory=(100.0, 200.0), overload=(1.0, 0.5)))


def test_reasons_are_of_peers_and_columns_that_there_are():
    assert {name for name, _ in REASONS} <= PEERS.keys()
    assert {column for _, column in REASONS} <= UNITS.keys()


def test_settings_that_gain_stand_beside_the_defaults_and_their_noise():
    verdict = {
        "noise": 0.031,
        "defaults": [[100.0, 104.0], [96.0, 100.0]],
        "capacities": {"A=1": [150.0, 130.0]},
        "gains": {"A=1": [1.5, 1.3]},
    }
    facts = {"hardware": "here", "kind": "png:1", "advice": "use A=1", "verdicts": [verdict]}
    table = tune([Result("x", "tune", facts)])
    assert "| defaults | 100 | 1.00 | noise 3.1% |" in table
    assert "| `A=1` | 140 | 1.40 | 1.30 to 1.50 |" in table
    assert table.endswith("So: use A=1.")


def test_share_of_the_peak_is_that_of_the_operations_a_second():
    facts = {"hardware": "here", "plan": "CPU", "peak_gflops": 400.0}
    facts |= {"image_mflop": 200.0, "images_per_s": 1500.0}
    table = peaks([Result("x", "peak", facts)])
    assert "| here, CPU | 400 | 200.0 | 1,500 | 300 | 0.75 |" in table


def test_processors_are_told_with_their_first_and_last_date_and_their_commits():
    origins = [("2026-11-30", "b"), ("2026-11-27", "a"), ("2026-11-30", "b")]
    results = [
        Result("x", OTHER, {"hardware": "here", "date": date, "commit": commit})
        for date, commit in origins
    ]
    assert "| here | 3 | 2026-11-27 to 2026-11-30 | a, b |" in processors(results)


def test_capacity_that_was_not_found_is_a_dash():
    found = {"kind": "png:1", "slo": {"limit_ms": 50.0}, "idle_ms": 1.5, "capacity": None}
    facts = {"hardware": "here", "results": [found, {**found, "capacity": 1234.0}]}
    table = capacity([Result("x", "capacity", facts)])
    assert "| png:1 | 50 ms | - | 1.5 ms |" in table
    assert "| png:1 | 50 ms | 1,234 | 1.5 ms |" in table


def test_steps_of_a_request_are_all_of_its_time():
    load = {"queue_ms": 1, "infer_ms": 4, "encode_ms": 0.5, "server_ms": 7, "mean_ms": 8}
    found = steps(load, latents_ms=0.25)
    assert found == {
        "handed": 1.5, "latents": 0.25, "queue": 1, "infer": 3.75, "encode": 0.5, "sent": 1,
    }  # fmt: skip
    assert sum(found.values()) == pytest.approx(8)


def test_same_results_give_the_same_picture(tmp_path):
    results = [each for each in read() if each.kind == "bench"]
    for name in ("a.svg", "b.svg"):
        plots.write(tmp_path / name, plots.bench, results)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_bar_of_a_request_stands_beside_session_run_alone(tmp_path):
    load = {"queue_ms": 1.0, "infer_ms": 4.0, "encode_ms": 0.5, "server_ms": 7.0, "mean_ms": 8.0}
    facts = {"latents_ms": 0.25, "rounds": [{"loads": {"0.5": load}}]}
    facts["raw"] = {"one_session": {"1": 500.0}}
    plots.write(tmp_path / "request.svg", plots.request, [Result("x", "replica", facts)])
    drawn = (tmp_path / "request.svg").read_text()
    assert "session.run alone, one image" in drawn
    assert all(words in drawn for words in STEPS.values())
