"""The file of keys: what is read of it, and that nothing of it is told; the command."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from server.keys import ADMIN, MOST_BYTES, MOST_KEYS, USER, Key, KeysFault, digest_of, parse, read

ROOT = Path(__file__).parents[2]
DIGEST = digest_of(b"open sesame")
HEX = DIGEST.hex()


def test_line_tells_of_a_key():
    text = f"# who may ask\n\n  alice user {HEX}\nops\tadmin\t{'AB' * 32}\r\n"
    assert parse(text) == [Key("alice", USER, DIGEST), Key("ops", ADMIN, bytes([0xAB] * 32))]


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ("images_per_s=50 burst=4096 in_flight=8", (50.0, 4096, 8)),
        ("images_per_s=2.5", (2.5, 2, 0)),
        ("images_per_s=0.001", (0.001, 1, 0)),
        ("in_flight=3", (0.0, 0, 3)),
        ("burst=7 images_per_s=1", (1.0, 7, 0)),
    ],
)
def test_limits_stand_behind_the_digest_and_a_burst_is_a_seconds(limits, told):
    (key,) = parse(f"alice user {HEX} {limits}")
    assert (key.images_per_s, key.burst, key.in_flight) == told


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("alice", "fewer than three fields"),
        (f"alice {HEX}", "fewer than three fields"),
        (f"al/ice user {HEX}", "the name is none"),
        (f"{'a' * 64} user {HEX}", "the name is none"),
        (f"alice root {HEX}", "the role is none; wanted user or admin"),
        ("alice user carfront_s3cret", "wanted 64 hexadecimal digits"),
        (f"alice user {HEX}00", "wanted 64 hexadecimal digits"),
        (f"alice user {HEX} s3cret", "images_per_s=, burst= and in_flight="),
        (f"alice user {HEX} images_per_s", "has no number"),
        (f"alice user {HEX} images_per_s=", "has no number"),
        (f"alice user {HEX} images_per_s=0", "has no number"),
        (f"alice user {HEX} images_per_s=-1", "has no number"),
        (f"alice user {HEX} images_per_s=1e3", "has no number"),
        (f"alice user {HEX} images_per_s=nan", "has no number"),
        (f"alice user {HEX} images_per_s=1 burst=1.5", "has no number"),
        (f"alice user {HEX} in_flight=0", "has no number"),
        (f"alice user {HEX} in_flight=٣", "has no number"),
        (f"alice user {HEX} in_flight=1 in_flight=2", "once"),
        (f"alice user {HEX} burst=5", "only with images_per_s="),
    ],
)
def test_malformed_line_is_told_by_its_number_and_not_shown(line, wanted):
    with pytest.raises(KeysFault) as fault:
        parse(f"# comment\n{line}\n")
    assert str(fault.value).startswith("line 2: ")
    assert wanted in str(fault.value)
    assert "s3cret" not in str(fault.value)
    assert HEX not in str(fault.value)


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        ([], "it has 0 keys; wanted 1 to"),
        (["# nothing but this"], "it has 0 keys"),
        ([f"a user {HEX}", f"b user {HEX}"], "two lines have one digest"),
        ([f"a user {HEX}", f"a user {'0' * 64}"], "two lines have one name"),
        ([f"a{i} user {i:064x}" for i in range(MOST_KEYS + 1)], f"it has {MOST_KEYS + 1} keys"),
    ],
)
def test_file_of_no_key_or_two_alike_is_refused(lines, wanted):
    with pytest.raises(KeysFault, match=wanted):
        parse("\n".join(lines))


KEYS = some.builds(
    Key,
    some.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z"),
    some.sampled_from([USER, ADMIN]),
    some.binary(min_size=32, max_size=32),
    some.just(0.0),
    some.just(0),
    some.integers(0, 9999999),
) | some.builds(
    Key,
    some.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z"),
    some.just(USER),
    some.binary(min_size=32, max_size=32),
    some.integers(1, 10**9).map(lambda thousandths: thousandths / 1000),
    some.integers(1, 9999999),
    some.integers(0, 9999999),
)


@given(KEYS)
def test_line_of_a_key_is_read_as_that_key(key):
    assert parse(key.line()) == [key]


@given(
    some.text()
    | some.lists(some.sampled_from(["a", USER, HEX, "#", "in_flight=", "9", " ", "\n"])).map(
        "".join
    )
)
def test_any_text_is_read_or_refused_in_one_sentence(text):
    try:
        assert parse(text)
    except KeysFault as fault:
        assert "\n" not in str(fault)


def test_file_is_read_as_text(tmp_path):
    path = tmp_path / "keys"
    path.write_bytes(b"\xef\xbb\xbfalice user")
    assert read(path) == "alice user"


@pytest.mark.parametrize(
    ("make", "wanted"),
    [
        (lambda path: None, "it cannot be read: No such file"),
        (Path.mkdir, "it is no regular file"),
        (os.mkfifo, "it is no regular file"),
        (lambda path: path.write_bytes(b"caf\xe9 s3cret"), "it is no UTF-8"),
        (lambda path: path.write_bytes(b"#" * (MOST_BYTES + 1)), "it has more than"),
        (lambda path: path.symlink_to(path), "it cannot be read: Too many levels"),
    ],
)
def test_what_is_no_text_file_is_refused(tmp_path, make, wanted):
    make(tmp_path / "keys")
    with pytest.raises(KeysFault) as fault:
        read(tmp_path / "keys")
    assert str(fault.value).startswith(wanted)
    assert "s3cret" not in str(fault.value)


def test_example_of_the_readme_is_a_good_file():
    text = (ROOT / "server" / "README.md").read_text()
    example = next(x for x in text.split("```") if x.startswith("\n# name"))
    assert [(x.name, x.role, x.most_at_once) for x in parse(example)] == [
        ("alice", USER, 1000),
        ("nightly", ADMIN, 0),
    ]


def command(*arguments):
    program = [sys.executable, "-m", "server.keys", *arguments]
    return subprocess.run(program, cwd=ROOT, capture_output=True, text=True)


def test_command_prints_a_key_once_and_the_line_for_the_file():
    ran = command("nightly", "--role", "admin", "--images-per-s", "50", "--in-flight", "64")
    secret, line = ran.stdout.splitlines()
    assert len(secret) > 40
    assert secret not in line + ran.stderr
    assert parse(line) == [Key("nightly", ADMIN, digest_of(secret.encode()), 50.0, 50, 64)]
    assert command("nightly").stdout.splitlines()[0] != secret


@pytest.mark.parametrize(
    "arguments", [["a b"], ["alice", "--burst", "5"], ["alice", "--in-flight", "many"], []]
)
def test_command_makes_no_key_that_the_file_could_not_have(arguments):
    ran = command(*arguments)
    assert (ran.returncode, ran.stdout) == (2, "")
