"""The page is well-formed, complete in itself, and shows names as they are."""

from xml.etree import ElementTree

from training.evaluation.page import beside, figure, heading, page, paragraph, table

NASTY = '<script>alert("&")</script>'


def parsed(html):
    return ElementTree.fromstring(html.removeprefix("<!DOCTYPE html>\n"))


def test_words_are_shown_as_they_are():
    parts = [heading(NASTY), paragraph(NASTY), paragraph(NASTY, soft=True)]
    parts += [figure("<svg/>", NASTY), table((NASTY,) * 4, [(NASTY,) * 4])]
    tree = parsed(page(NASTY, parts))
    assert not list(tree.iter("script"))
    words = ["".join(x.itertext()) for tag in ("h2", "p", "td", "title") for x in tree.iter(tag)]
    assert words == [NASTY] * 8


def test_page_asks_nothing_from_elsewhere():
    html = page("x", [])
    assert "http" not in html
    assert "url(" not in html
    assert "@import" not in html


def test_page_has_both_colour_schemes_and_fits_a_phone():
    html = page("x", [])
    assert "prefers-color-scheme: dark" in html
    assert 'name="viewport"' in html


def test_table_keeps_numbers_between_name_and_meaning():
    tree = ElementTree.fromstring(table(("a", "b", "c", "d"), [("x", "1", "2", "why")]))
    head, row = tree.iter("tr")
    assert [cell.get("class") for cell in row] == ["name", "number", "number", "means"]
    assert [cell.tag for cell in head] == ["th"] * 4


def test_figures_stand_beside_each_other():
    tree = ElementTree.fromstring(beside([figure("<svg/>", "a"), figure("<svg/>", "b")]))
    assert [x.text for x in tree.iter("figcaption")] == ["a", "b"]
