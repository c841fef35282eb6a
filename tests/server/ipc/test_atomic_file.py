"""Files that are whole, in folders that others may have removed."""

import shutil

import pytest

from server.ipc.atomic_file import make_folder, write_whole
from tests.full_disk import fill, needs_mount, small_disk


def modes(*folders):
    return [oct(folder.stat().st_mode & 0o777) for folder in folders]


def test_only_this_user_may_enter_a_folder_that_is_made(tmp_path):
    folder = tmp_path / "run" / "carfront" / "engine-0"
    make_folder(folder)
    make_folder(folder)
    assert modes(folder, folder.parent, folder.parents[1]) == ["0o700"] * 3


def test_folder_that_was_removed_is_made_anew_for_a_file(tmp_path):
    path = tmp_path / "engine-0" / "models.json"
    write_whole(path, "old")
    shutil.rmtree(path.parent)
    write_whole(path, "new")
    assert path.read_text() == "new"
    assert modes(path.parent) == ["0o700"]


def test_file_in_the_place_of_its_folder_is_an_error_and_stays(tmp_path):
    (tmp_path / "engine-0").touch()
    with pytest.raises(OSError, match="engine-0"):
        write_whole(tmp_path / "engine-0" / "models.json", "text")
    assert list(tmp_path.iterdir()) == [tmp_path / "engine-0"]


@needs_mount
def test_full_disk_leaves_the_old_text_and_no_draft(tmp_path):
    with small_disk(tmp_path / "disk", kib=64) as disk:
        path = disk / "models.json"
        write_whole(path, "old")
        fill(disk)
        with pytest.raises(OSError, match="No space"):
            write_whole(path, "new" * 4096)
        assert path.read_text() == "old"
        assert {file.name for file in disk.iterdir()} == {"models.json", "filler"}
