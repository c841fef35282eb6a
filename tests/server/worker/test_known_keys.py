"""The file of keys is followed as it changes, and a bad one changes nothing."""

import logging
import os

import pytest

from server.keys import KeysFault, digest_of
from server.worker.key_limits import KeyLimits
from server.worker.known_keys import TOKEN_NAME, KnownKeys


class Loop:
    """An event loop in which time passes when a test says so."""

    def call_periodically(self, period_s, callback):
        self.look = callback
        return lambda: None

    def in_thread(self, function, *args):
        return function(*args)


def line(name, secret, more="", role="user"):
    return f"{name} {role} {digest_of(secret).hex()} {more}\n"


ALICE, BOB = line("alice", b"open sesame"), line("bob", b"s3cret")
BAD = ALICE + "bob user s3cret\n"


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "keys"
    path.write_text(ALICE)
    return path


@pytest.fixture
def known(path, tmp_path):
    """Return a function that begins with the file, and one that looks at it again."""

    def begin(token="", copy=tmp_path / "run" / "copy"):
        known, loop = KnownKeys(path, copy, KeyLimits.create(), token), Loop()
        known.begin()
        known.watch(loop)
        return known, lambda: loop.look()

    return begin


def name_of(known, secret):
    caller = known.find(secret)
    return caller and caller.key.name


def replace(path, text):
    """Replace the file by another one, as editors and Kubernetes do: it has another inode."""
    new = path.with_name("new")
    new.write_text(text)
    new.replace(path)


def test_keys_of_the_file_are_known_and_no_others(known):
    keys, _ = known()
    assert name_of(keys, b"open sesame") == "alice"
    for other in (b"", b"open sesame ", b"open sesam", digest_of(b"open sesame"), b"\xff" * 999):
        assert keys.find(other) is None


def test_new_file_counts_at_the_next_look(known, path):
    keys, look = known()
    replace(path, BOB)
    assert name_of(keys, b"s3cret") is None
    look()
    assert (name_of(keys, b"s3cret"), name_of(keys, b"open sesame")) == ("bob", None)


def test_symlink_that_leads_elsewhere_is_a_new_file(known, path, tmp_path):
    """A Kubernetes Secret's volume swaps the link to the folder with all of its files."""
    for folder, text in (("one", ALICE), ("two", line("bobby", b"s3cret"))):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "keys").write_text(text)
        os.utime(tmp_path / folder / "keys", (0, 0))  # only the inode tells them apart
    path.unlink()
    (tmp_path / "data").symlink_to("one")
    path.symlink_to("data/keys")
    keys, look = known()
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").replace(tmp_path / "data")
    look()
    assert (name_of(keys, b"s3cret"), name_of(keys, b"open sesame")) == ("bobby", None)


def test_file_written_in_place_counts(known, path):
    keys, look = known()
    path.write_text(ALICE + BOB)
    look()
    assert name_of(keys, b"s3cret") == "bob"


@pytest.mark.parametrize("harm", [lambda path: replace(path, BAD), os.unlink])
def test_bad_file_leaves_the_keys_and_is_logged_once_without_what_is_in_it(
    known, path, caplog, harm
):
    keys, look = known()
    harm(path)
    for _ in range(3):
        look()
    assert name_of(keys, b"open sesame") == "alice"
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "is not taken, and the keys before it count: " in record.getMessage()
    assert "s3cret" not in record.getMessage()
    assert "\n" not in record.getMessage()
    replace(path, BOB)
    look()
    assert name_of(keys, b"s3cret") == "bob"


def test_file_that_did_not_change_is_not_read_again(known, monkeypatch):
    _, look = known()
    monkeypatch.setattr("server.keys.read", lambda path: pytest.fail("it was read"))
    look()


def test_worker_that_begins_with_a_bad_file_has_the_keys_of_the_last_good_one(known, path):
    _, look = known()
    replace(path, BOB)
    look()
    replace(path, BAD)
    keys, look_anew = known()
    assert (name_of(keys, b"s3cret"), name_of(keys, b"open sesame")) == ("bob", None)
    replace(path, ALICE)
    look_anew()
    assert name_of(keys, b"open sesame") == "alice"


def test_bad_file_without_a_good_one_before_is_an_error(known, path):
    replace(path, BAD)
    with pytest.raises(KeysFault, match="line 2"):
        known()
    with pytest.raises(KeysFault, match="line 2"):
        known(copy=None)


def test_copy_is_for_this_user_alone(known, tmp_path):
    known()
    assert (tmp_path / "run" / "copy").read_text() == ALICE
    assert (tmp_path / "run").stat().st_mode & 0o77 == 0


def test_folder_that_takes_no_copy_is_logged_and_the_keys_count(known, tmp_path, caplog):
    (tmp_path / "file").touch()
    keys, _ = known(copy=tmp_path / "file" / "copy")
    assert name_of(keys, b"open sesame") == "alice"
    assert "cannot be kept" in caplog.text


def test_administrators_token_is_an_administrators_key(known):
    keys, look = known(token="schlüssel")
    look()
    caller = keys.find("schlüssel".encode())
    assert caller.key.is_admin
    assert caller.key.name == TOKEN_NAME
    assert not caller.is_limited
    assert known()[0].find(b"") is None


def test_limits_go_on_for_a_name_when_the_file_changes(known, path):
    replace(path, line("alice", b"open sesame", "images_per_s=0.001 burst=10"))
    keys, look = known()
    keys.find(b"open sesame").begin(7)
    replace(path, BOB + line("alice", b"a new key", "images_per_s=0.001 burst=10"))
    look()
    assert dict(keys.find(b"a new key").fields())["RateLimit"].startswith('"images";r=3;')


def test_digest_is_compared_in_constant_time(known, monkeypatch):
    compared = []
    monkeypatch.setattr(
        "server.worker.known_keys.hmac.compare_digest", lambda *two: compared.append(two) or False
    )
    keys, _ = known()
    assert keys.find(b"open sesame") is None
    assert compared == [(digest_of(b"open sesame"),) * 2]
