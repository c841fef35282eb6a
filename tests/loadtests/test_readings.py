"""What metrics tell is read right."""

import subprocess

import pytest

from loadtests.readings import MeasureError, Reading, commit_of, one


def test_readings_are_subtracted_one_by_one():
    spent = Reading(3.0, 500, 40, 2.0) - Reading(1.0, 100, 10, 0.5)
    assert spent == Reading(2.0, 400, 30, 1.5)


def test_unexpected_output_is_shown():
    with pytest.raises(MeasureError, match=r"there is no .* in: hello"):
        one(r"Requests/sec:\s+(\S+)", "hello")


def test_commit_is_that_of_the_checkout_and_tells_whether_it_was_altered(tmp_path):
    assert commit_of(tmp_path) == "unknown"
    who = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.org"]
    result = tmp_path / "loadtests/results/file"
    result.parent.mkdir(parents=True)
    for file in (result, tmp_path / "file"):
        file.write_text("1")
    for command in (["init", "--quiet"], ["add", "."], [*who, "commit", "--quiet", "-m", "1"]):
        subprocess.run(["git", "-C", tmp_path, *command], check=True)
    head = ["git", "-C", tmp_path, "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(head, check=True, capture_output=True, text=True).stdout.strip()
    result.write_text("2")
    assert commit_of(tmp_path) == commit
    (tmp_path / "file").write_text("2")
    assert commit_of(tmp_path) == f"{commit}-dirty"
