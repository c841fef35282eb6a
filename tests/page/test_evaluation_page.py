"""The page of an evaluation is readable on a phone."""

import pytest

from training.evaluation.page import page, table

pytestmark = pytest.mark.servers
HEAD = ("measure", "generated", "photographs", "what it says")
GAPS = """
const edges = [...document.querySelectorAll('th')].map(cell => {
  const words = document.createRange();
  words.selectNodeContents(cell);
  return words.getBoundingClientRect();
}).filter(edge => edge.width);
return edges.slice(1).map((edge, k) => edge.left - edges[k].right);
"""


@pytest.mark.parametrize("width", [340, 400, 640, 1200])
def test_headings_of_the_table_do_not_touch(browser, tmp_path, width):
    rows = [
        ("diversity, coarse", "80.3", "82.9", "mean distance of two, grey levels; of 16 pixels")
    ]
    (tmp_path / "page.html").write_text(page("Evaluation", [table(HEAD, rows)]))
    browser.size(width, 900)
    browser.driver.get((tmp_path / "page.html").as_uri())
    gaps = browser.driver.execute_script(GAPS)
    assert len(gaps) == (3 if width > 640 else 2)
    assert min(gaps) >= 8
