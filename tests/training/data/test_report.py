"""What was skipped is counted and named; more than 1 % of it stops the preparation."""

import json

import numpy as np
import pytest

from training.data.layout import DataError, Photo
from training.data.prepare import Prepared
from training.data.report import Report

READ = Prepared(np.zeros((32, 32, 3), np.uint8))
BROKEN = Prepared(None, fault="OSError: truncated")


def filled(tmp_path, results, total=None):
    report = Report(tmp_path / "cache" / "a.report.json", tmp_path, total or len(results))
    for n, result in enumerate(results):
        report.add(Photo(tmp_path / "image" / f"{n}.jpg"), result)
    return report


def test_one_in_a_hundred_is_tolerated_and_named(tmp_path):
    report = filled(tmp_path, [READ, BROKEN, *[READ] * 98])
    report.write()
    skipped = json.loads(report.path.read_text())["skipped"]
    assert skipped == {
        "count": 1,
        "files": [{"file": "image/1.jpg", "reason": "OSError: truncated"}],
    }
    assert report.line() == f"99 photographs, 1 skipped; report: {report.path}"


def test_more_than_one_in_a_hundred_stops_at_once_with_the_report_written(tmp_path):
    with pytest.raises(DataError) as told:
        filled(tmp_path, [READ, BROKEN, BROKEN, READ], total=199)
    path = tmp_path / "cache" / "a.report.json"
    assert str(told.value) == (
        f"{tmp_path}: 2 of the first 3 files cannot be read, more than 1 % of all 199. First: "
        f"image/1.jpg (OSError: truncated). All that were met are named in {path}"
    )
    assert json.loads(path.read_text())["skipped"]["count"] == 2


def test_what_was_taken_care_of_is_counted_and_named_by_kind(tmp_path):
    grey = READ._replace(kinds=("greyscale",))
    both = READ._replace(kinds=("greyscale", "rotated by EXIF"))
    report = filled(tmp_path, [grey, READ, both])
    report.write()
    assert json.loads(report.path.read_text())["taken_care_of"] == {
        "greyscale": {"count": 2, "files": ["image/0.jpg", "image/2.jpg"]},
        "rotated by EXIF": {"count": 1, "files": ["image/2.jpg"]},
    }
