"""An evaluation is written into a bundle's manifest and report, and its key stays."""

import json

import pytest

from export.add_evaluation import main
from export.figures import rows, with_figures
from server.bundle.files import load_bundle
from server.bundle.manifest import MANIFEST
from tests.bundles import DEFAULT, copy_version

PAIR = {"generated": 8.97, "baseline": 6.39}
SHARE = {"generated": 0.9, "baseline": 0.957}
RESULTS = {
    "images_per_half": 3000,
    "classifier": {
        "frechet": PAIR,
        "precision": SHARE,
        "recall": SHARE,
        "coverage": SHARE,
        "cars": SHARE,
    },
    "swd_x1e3": {"mean": PAIR, "levels": {"32": PAIR, "16": PAIR}},
    "fid": None,
    "kid_x1e3": None,
    "colour_grey_levels": PAIR,
    "diversity_grey_levels": {"pixels": {"generated": 89.2, "photographs": 92.7}},
    "memorisation": {"near_share": 0.0, "copied_share": 0.0, "photographs_with_a_twin": 0.0375},
}


@pytest.fixture
def bundle(tmp_path):
    """A copy of a default bundle, without the evaluation that it has."""
    folder = copy_version(tmp_path / "models", "1", source=DEFAULT)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest.pop("evaluation", None)
    manifest["files"] |= manifest.pop("before_evaluation", {})
    report = (folder / "report.html").read_text()
    start = report.find("\n<h2>How good the images are</h2>")
    if start >= 0:
        report = report[:start] + report[report.index("\n</body>") :]
        (folder / "report.html").write_text(report)
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return folder


def found(folder, **changes):
    """Write an evaluation.json beside the models, and return its path."""
    name = "{name}/{version}".format(**json.loads((folder / MANIFEST).read_text()))
    facts = {
        "run": {"name": name},
        "evaluation": {"images": 6000, "seed": 0},
        "results": RESULTS,
        **changes,
    }
    path = folder.parents[2] / "evaluation.json"
    path.write_text(json.dumps(facts))
    return path


def test_figures_stand_in_manifest_and_report_and_all_else_stays(bundle):
    before = load_bundle(bundle)
    files = {x.name: x.read_bytes() for x in bundle.iterdir()}
    assert main([str(bundle), str(found(bundle))]) == 0
    after = load_bundle(bundle)
    assert after.key == before.key
    assert after.manifest.evaluation["results"] == RESULTS
    assert "<td>8.97</td><td>6.39</td>" in (bundle / "report.html").read_text()
    altered = {x.name for x in bundle.iterdir() if x.read_bytes() != files[x.name]}
    assert altered == {MANIFEST, "report.html"}
    assert list(bundle.parent.iterdir()) == [bundle]


def test_report_that_was_altered_afterwards_is_refused(bundle, capsys):
    assert main([str(bundle), str(found(bundle))]) == 0
    with (bundle / "report.html").open("a") as report:
        report.write("more")
    assert main([str(bundle), str(found(bundle))]) == 1
    assert "report.html is not what was exported" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"run": {"name": "cars-dcgan/7"}}, "the evaluation is of cars-dcgan/7; wanted one of"),
        ({"results": {}}, "is no evaluation.json (KeyError"),
        ({"run": []}, "is no evaluation.json (TypeError"),
    ],
)
def test_evaluation_of_another_model_or_of_nothing_changes_nothing(bundle, changes, told, capsys):
    before = {x.name: x.read_bytes() for x in bundle.iterdir()}
    assert main([str(bundle), str(found(bundle, **changes))]) == 1
    assert told in capsys.readouterr().err
    assert before == {x.name: x.read_bytes() for x in bundle.iterdir()}
    assert list(bundle.parent.iterdir()) == [bundle]


def test_second_evaluation_is_refused(bundle, capsys):
    path = found(bundle)
    assert main([str(bundle), str(path)]) == 0
    assert main([str(bundle), str(path)]) == 1
    assert "has an evaluation already" in capsys.readouterr().err


def test_fid_and_kid_are_rows_where_they_were_measured():
    names = [row[0] for row in rows(RESULTS | {"fid": PAIR, "kid_x1e3": PAIR})]
    assert {"FID", "KID x 1,000"} <= set(names)
    assert "FID" not in [row[0] for row in rows(RESULTS)]


def test_report_of_a_model_without_an_evaluation_stays_as_it_is():
    assert with_figures("<p>\n</body>", {}) == "<p>\n</body>"
