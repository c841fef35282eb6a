"""The page's frame: its style, light and dark, and the small pieces of HTML it is built of.

The page is well-formed as XML, too, and complete in itself: it has no script, and loads nothing.
"""

from collections.abc import Sequence
from html import escape

STYLE = """
:root { color-scheme: light dark; --paper: #fdfdfc; --ink: #1d1f23; --faint: #d9dadd;
  --soft: #5c616b; --first: #0b63c4; --second: #c2570c; }
@media (prefers-color-scheme: dark) { :root { --paper: #15171a; --ink: #e8e9ec; --faint: #363a41;
  --soft: #a2a8b3; --first: #6db3ff; --second: #ffa564; } }
body { background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif;
  max-width: 56rem; margin: 0 auto; padding: 1rem; }
h1 { line-height: 1.2; margin-bottom: 0; overflow-wrap: anywhere; }
h2 { margin-top: 2.5rem; }
p { max-width: 42rem; overflow-wrap: anywhere; }
.soft, figcaption, td.means { color: var(--soft); font-size: 0.9rem; }
table { border-collapse: collapse; width: 100%; }
.wide { overflow-x: auto; }
tr { border-bottom: 1px solid var(--faint); }
th, td { text-align: left; padding: 0.35rem 0.8rem 0.35rem 0; vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.side { display: grid; gap: 1.5rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 21rem),
  1fr)); }
figure { margin: 1rem 0 0; }
img { max-width: 100%; height: auto; image-rendering: pixelated; display: block; }
svg { width: 100%; max-width: 36rem; height: auto; display: block; }
svg text { fill: var(--ink); font-size: 11.5px; }
svg .ink { stroke: var(--ink); } svg .faint { stroke: var(--faint); }
svg polyline { fill: none; stroke-width: 1.8; }
.series-0 { stroke: var(--first); } .series-1 { stroke: var(--second); }
.bar-0 { fill: var(--first); } .bar-1 { fill: var(--second); }
@media (max-width: 40rem) { th.means { display: none; } td.means { grid-column: 1 / -1; }
  tr { display: grid; grid-template-columns: 1fr 5.8rem 6.8rem; column-gap: 0.8rem; }
  th { font-size: 0.9rem; }
  th, td { padding-right: 0; } td.means { padding-top: 0; } }
"""


def page(title: str, parts: Sequence[str]) -> str:
    """Return the whole page; ``parts`` are HTML already, ``title`` is plain text."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def heading(words: str, level: int = 2) -> str:
    """Return a heading of plain text."""
    return f"<h{level}>{escape(words)}</h{level}>"


def paragraph(words: str, soft: bool = False) -> str:
    """Return a paragraph of plain text; a ``soft`` one is a side remark."""
    return f'<p class="soft">{escape(words)}</p>' if soft else f"<p>{escape(words)}</p>"


def figure(drawn: str, caption: str) -> str:
    """Return a picture or chart, HTML already, above its ``caption`` of plain text."""
    return f"<figure>{drawn}<figcaption>{escape(caption)}</figcaption></figure>"


def beside(figures: Sequence[str]) -> str:
    """Return the figures in a row, or below each other on a phone."""
    return f'<div class="side">{"".join(figures)}</div>'


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of plain text: name, numbers, and meaning, which a phone shows below them."""
    kinds = ["name", *["number"] * (len(head) - 2), "means"]
    lines = [_row("th", kinds, head), *(_row("td", kinds, row) for row in rows)]
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def _row(tag: str, kinds: Sequence[str], cells: Sequence[str]) -> str:
    pairs = zip(kinds, cells, strict=True)
    found = [f'<{tag} class="{kind}">{escape(cell)}</{tag}>' for kind, cell in pairs]
    return f"<tr>{''.join(found)}</tr>"
