import re
from dataclasses import replace

import numpy as np

from export.bench import BATCH_SIZES, Rate
from export.page import page

RATES = [Rate("fp32", "cpu/f32", rows, 1234.0) for rows in BATCH_SIZES]


def test_page_needs_nothing_but_itself(report):
    html = page("cars 1", "fold", report, RATES)
    assert not re.search(r"https?:|<script|<link|@import|url\(", html)
    assert all(x.startswith("data:image/png;base64,") for x in re.findall(r'src="([^"]*)', html))
    assert "color-scheme: light dark" in html
    assert 'name="viewport"' in html


def test_page_has_every_plan_every_rate_and_the_worst_latents(report):
    html = page("cars 1", "fold", report, RATES)
    for plan in report.plans:
        assert plan.label in html
        for found in plan.differences.values():
            assert found.worst in html or not found.levels
    assert html.count("1,234") == len(BATCH_SIZES)


def test_the_worst_image_is_the_one_that_is_furthest_off(report):
    for plan in report.plans:
        for found in plan.differences.values():
            off = np.abs(plan.images[found.worst_row].astype(int) - report.wanted[found.worst_row])
            assert off.max() == found.levels


def test_what_is_written_into_the_page_is_escaped(report):
    html = page("<b>cars</b>", "fold", replace(report, refused={"a/b": "1 < 2"}), [])
    assert "<b>cars" not in html
    assert "1 &lt; 2" in html
