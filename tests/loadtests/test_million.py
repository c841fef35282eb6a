"""The million: what its log tells, and that a kill is made once."""

from loadtests.generate import rate_in, summary, table
from loadtests.million import run
from loadtests.million import summary as summary_of_log

LOG = """$ carfront generate --seeds=0:100
x: 40 of 100 images, 10 images/s, 6 s left
ended with status -9 (killed) after 5.0 s
$ carfront generate --seeds=0:100
x: 100 of 100 images, 12 images/s, 5.0 s
ended with status 0 after 7.0 s
$ carfront verify x
100 images in 2 files are as they were written; 100 drawn again
ended with status 0 after 8.0 s
"""


def test_log_tells_kills_and_the_time_of_all_commands():
    found = summary_of_log(LOG, 100)
    assert (found["kills"], found["seconds"], found["images_per_s"]) == (1, 20.0, 5.0)
    assert found["last_lines"][-1] == "ended with status 0 after 8.0 s"


def test_what_is_there_already_is_not_killed_again(tmp_path):
    (tmp_path / "index.json").write_text('{"images": 50}')
    run(("generate",), tmp_path / "log", tmp_path, kill_at=50)
    assert not (tmp_path / "log").exists()


def test_rate_is_that_of_the_last_line():
    assert (
        rate_in("x: 5 of 9 images, 3 images/s, 4 s left\nx: 9 of 9 images, 1,234 images/s, 7.1 s\n")
        == 1234
    )


def test_a_ratio_is_the_median_over_rounds_of_each_rounds_own():
    report = summary([{"npy": (90.0, 100.0)}, {"npy": (30.0, 30.0)}, {"npy": (40.0, 50.0)}])
    assert report["ways"]["npy"]["ratio"] == 0.9
    assert "| npy | 40 | 50 | 0.900 | 0.9, 1.0, 0.8 |" in table(report)


def test_the_servers_rate_is_told_beside_the_bundles():
    rounds = [
        {"bundle, npy": (90.0, 100.0), "one server, npy": (81.0, 100.0)},
        {"bundle, npy": (50.0, 50.0), "one server, npy": (48.0, 50.0)},
        {"bundle, npy": (80.0, 100.0), "one server, npy": (76.0, 100.0)},
    ]
    told = table(summary(rounds))
    assert told.endswith(
        "One server over loopback delivers 0.950 of the bundle's rate, both as npy."
    )
