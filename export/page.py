"""``report.html``: the parity check's results as one page for people, with all images in it."""

import base64
import io
from collections.abc import Iterator, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from export.bench import Rate
from export.pictures import difference, picture
from export.report import PlanParity, Report
from export.variants.trial import Trial

AMPLIFIED = 32
"""The factor by which a difference between images is amplified in its picture."""
HEADS = ["plan", "latents", "largest", "mean", "over one", "PSNR", "any batch"]
STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #888; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); text-align: right; }
th { font-weight: 600; white-space: nowrap; }
th:first-child, td:first-child, th.text, td.text { text-align: left; }
.worst { display: flex; flex-wrap: wrap; gap: .8rem; margin: .8rem 0 1.6rem; }
figure { margin: 0; } figcaption { font-size: .85rem; color: var(--soft); }
img { width: 128px; image-rendering: pixelated; background: #000; display: block; }
"""


def page(
    title: str, rewrite: str, report: Report, rates: list[Rate], trials: Sequence[Trial] = ()
) -> str:
    """Return the page; the same arguments give the same page."""
    refused = [
        f"<p><b>{escape(x)}</b> will not serve: {escape(y)}</p>" for x, y in report.refused.items()
    ]
    body = [
        f"<h1>{escape(title)}: parity with the SavedModel</h1>",
        f"<p>{report.latents()}: "
        + ", ".join(f"{len(x.latents):,} {escape(x.name)}" for x in report.probes)
        + f".<br>Rewrites: {escape(rewrite)}.</p>",
        *refused,
        "<h2>Differences, in grey levels</h2>",
        table(HEADS, list(_differences(report))),
        *_floats(report),
        *_not_measured(report),
        "<h2>The worst images</h2>",
        *(figure for plan in report.plans for figure in _worst(report, plan)),
    ]
    if trials:
        body += ["<h2>Other precisions</h2>", *(x for trial in trials for x in section(trial))]
    if rates:
        body += ["<h2>Images a second by batch size, on the exporting host</h2>", _rates(rates)]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}: parity</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def section(trial: Trial) -> Iterator[str]:
    """Yield the section of a candidate: whether it is in the bundle, why, and its differences."""
    verdict = "in the bundle" if trial.shipped else "not in the bundle"
    yield f"<h3>{escape(trial.candidate.name)}, {verdict}</h3>"
    yield from (f"<p>{escape(x)}</p>" for x in (trial.done, *trial.told) if x)
    if rows := list(_differences(trial.report)):
        yield table(HEADS, rows)
    yield from (picture for plan in trial.report.plans for picture in _worst(trial.report, plan))


def table(heads: list[str], rows: list[list[str]]) -> str:
    """Return a table of plain text as HTML."""
    head = "".join(f"<th>{escape(x)}</th>" for x in heads)
    lines = ["<tr>" + "".join(f"<td>{escape(x)}</td>" for x in row) + "</tr>" for row in rows]
    return f'<div class="wide"><table><tr>{head}</tr>{"".join(lines)}</table></div>'


def _differences(report: Report) -> Iterator[list[str]]:
    for plan in report.plans:
        for kind, found in plan.differences.items():
            yield [
                plan.label,
                kind,
                str(found.levels),
                f"{found.mean_levels:.5f}",
                f"{found.share_above_one:.4%}",
                f"{found.psnr_db:.1f} dB",
                plan.any_batch,
            ]


def _floats(report: Report) -> Iterator[str]:
    for kind, found in report.float_difference.items():
        told = f"Largest difference before the head, {kind} latents, of [-1, 1]: {found:.2g}"
        if report.rounding:
            told += f"; float32 by itself moves these images by {report.rounding[kind]:.2g}"
        yield f"<p>{told}.</p>"


def _not_measured(report: Report) -> Iterator[str]:
    if report.not_measured:
        yield "<h2>Plans of other hosts, not measured</h2>"
        yield table(["plan", "reason"], [[*row] for row in report.not_measured.items()])


def _worst(report: Report, plan: PlanParity) -> Iterator[str]:
    """Yield the image with the largest difference, beside the SavedModel's image."""
    for kind, found in plan.differences.items():
        if report.wanted is None or plan.images is None or not found.levels:
            continue
        wanted, drawn = report.wanted[found.worst_row], plan.images[found.worst_row]
        yield f"<p>{plan.label}, {kind}: {escape(found.worst)}, {found.levels} off</p>"
        yield '<div class="worst">'
        yield _figure(wanted, "SavedModel")
        yield _figure(drawn, plan.label)
        yield _figure(difference(drawn, wanted, AMPLIFIED), f"difference x {AMPLIFIED}")
        yield "</div>"


def _figure(image: NDArray[np.uint8], caption: str) -> str:
    file = io.BytesIO()
    picture(image).save(file, "PNG")
    data = base64.b64encode(file.getvalue()).decode()
    return (
        f'<figure><img alt="{escape(caption)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _rates(rates: list[Rate]) -> str:
    cells = {(x.variant, x.plan, x.rows): x.images_per_second for x in rates}
    sizes = sorted({x.rows for x in rates})
    rows = [
        [variant, plan, *(f"{cells[variant, plan, size]:,.0f}" for size in sizes)]
        for variant, plan in dict.fromkeys((x.variant, x.plan) for x in rates)
    ]
    return table(["variant", "plan", *map(str, sizes)], rows)
