"""The report says all numbers in three forms: JSON, a table, and a page with its pictures."""

import json
from xml.etree import ElementTree

import pytest

from training.evaluation import sections, swd
from training.evaluation.judge import judge
from training.evaluation.report import Report, read_history
from training.evaluation.sections import as_html, write


@pytest.fixture(scope="module")
def report(shuffled):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(swd, "PATCHES", 16)
        patch.setattr(swd, "DIRECTIONS", 8)
        found = judge(shuffled[:80], shuffled[100:200], None, lambda name: lambda part: None)
    return Report(
        name="<b>odd</b> & run",
        facts={"epochs": 7, "exported_epoch": 5, "data": {"name": "cifar10-cars", "images": 100}},
        judgement=found,
        generated=shuffled[:80],
        photographs=shuffled[100:200],
        history=[
            {
                "epoch": "1",
                "swd": "",
                "d_loss": "0.7",
                "g_loss": "1.5",
                "d_real": ".6",
                "d_fake": ".4",
            },
            {
                "epoch": "2",
                "swd": "9",
                "d_loss": "0.6",
                "g_loss": "1.7",
                "d_real": ".7",
                "d_fake": ".3",
            },
        ],
        how={"images": 80, "seed": 4},
        no_inception="no weights <here>",
    )


@pytest.fixture(scope="module")
def tree(report):
    return ElementTree.fromstring(as_html(report).removeprefix("<!DOCTYPE html>\n"))


def words(tree):
    return " ".join("".join(x.itertext()) for x in tree.iter("p"))


def test_page_is_well_formed_and_shows_the_runs_name_as_it_is(tree):
    (title,) = tree.iter("h1")
    assert title.text == "Evaluation of <b>odd</b> & run"
    assert not list(tree.iter("b"))
    assert "no weights <here>" in words(tree)
    assert "Epoch 5 of 7" in words(tree)


def test_page_has_all_pictures_and_charts(tree):
    pictures = [x.get("alt") for x in tree.iter("img")]
    assert pictures.count("generated images above photographs") == 2
    assert {"generated images", "photographs"} <= set(pictures)
    charts = [x.get("aria-label") for x in tree.iter("svg")]
    assert charts == [
        "Sliced Wasserstein distance by scale",
        "Distances to the nearest training photograph",
        "Losses",
        "The discriminator's verdict",
        "Distance to the photographs",
    ]


def test_nearest_pairs_come_first(report, monkeypatch):
    shown = []
    pair = sections.beside_nearest
    monkeypatch.setattr(sections, "beside_nearest", lambda *a: shown.append(a[3]) or pair(*a))
    as_html(report)
    closest, first_drawn = shown
    distances = report.judgement.memorisation.generated.distance
    assert distances[closest].tolist() == sorted(distances)[:30]
    assert first_drawn.tolist() == list(range(30))


def test_page_and_terminal_say_every_row(report, tree):
    cells = [cell.text for cell in tree.iter("td")]
    for row in report.rows():
        assert all(cell in cells for cell in row)
        assert f"{row[0]:<19}{row[1]:>10}{row[2]:>13}" in report.as_text()
    assert report.as_text().endswith("no weights <here>")


def test_fid_and_kid_have_rows_where_they_were_measured(report):
    names = [row[0] for row in report.rows()]
    assert "FID" not in names
    found = report.judgement.__class__(**{**vars(report.judgement), "fid": (9, 1), "kid": (2, 0)})
    with_both = report.__class__(**{**vars(report), "judgement": found, "no_inception": None})
    rows = {row[0]: row[1:3] for row in with_both.rows()}
    assert rows["FID"] == ("9.00", "1.00")
    assert rows["KID x 1,000"] == ("2.00", "0.00")
    assert "No FID" not in as_html(with_both)


def test_page_without_history_has_no_curves(report):
    bare = report.__class__(**{**vars(report), "history": []})
    assert "How it was trained" not in as_html(bare)


def test_both_files_are_written_whole(report, tmp_path):
    page = write(report, tmp_path / "new" / "folder")
    assert page.read_text() == as_html(report)
    facts = json.loads((page.parent / "evaluation.json").read_text())
    assert facts["run"]["exported_epoch"] == 5
    assert facts["evaluation"]["no_inception"] == "no weights <here>"
    assert facts["results"]["images_per_half"] == 40
    assert {path.name for path in page.parent.iterdir()} == {"evaluation.html", "evaluation.json"}


def test_history_is_read_where_there_is_one(run_folder, tmp_path):
    assert [row["swd"] for row in read_history(run_folder / "history.csv")] == ["", "31.5"]
    assert read_history(tmp_path / "history.csv") == []
