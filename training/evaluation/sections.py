"""The page of an evaluation, section by section."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.evaluation.charts import Axes, Series, bar_chart, histogram, line_chart
from training.evaluation.memorisation import QUANTILE, TWIN
from training.evaluation.page import beside, figure, heading, page, paragraph, table
from training.evaluation.pictures import beside_nearest, picture
from training.evaluation.report import HEAD, Report
from training.lineage import write_json

SHOWN = 60
"""The number of generated images on the page, and of photographs."""
COLUMNS = 10
PAIRS = 3
"""The rows of generated images with their nearest photographs."""
NAMES = ("generated", "photographs")
HISTORY = {
    "Losses": ("mean over the epoch", {"d_loss": "discriminator", "g_loss": "generator"}),
    "The discriminator's verdict": (
        "mean probability of being real",
        {"d_real": "on photographs", "d_fake": "on generated"},
    ),
    "Distance to the photographs": ("SWD x 1,000", {"swd": "generated"}),
    "Distance of features": ("Frechet distance", {"features": "generated"}),
}
"""The charts of the training by title: the unit, and the columns of ``history.csv`` with names."""


def write(report: Report, folder: Path) -> Path:
    """Write ``evaluation.json`` and ``evaluation.html`` into ``folder``; return the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "evaluation.html"
    draft = path.with_suffix(".tmp")
    draft.write_text(as_html(report), encoding="utf-8")
    draft.replace(path)
    write_json(folder / "evaluation.json", report.as_json())
    return path


def as_html(report: Report) -> str:
    """Return the whole page of a report."""
    title = f"Evaluation of {report.name}"
    parts = [heading(title, 1), paragraph(_subtitle(report), soft=True)]
    parts += [table(HEAD, report.rows()), paragraph(_how(report), soft=True)]
    if report.no_inception:
        parts.append(paragraph(f"No FID and no KID: {report.no_inception}", soft=True))
    parts += [*_samples(report), *_scales(report), *_memorisation(report), *_training(report)]
    return page(title, parts)


def _subtitle(report: Report) -> str:
    data = report.facts["data"]
    exported = report.facts.get("exported_epoch", report.facts["epochs"])
    return (
        f"Epoch {exported} of {report.facts['epochs']}, trained on {data['images']:,} photographs "
        f"of {data['name']}; {len(report.generated):,} images drawn with seed {report.how['seed']}."
    )


def _how(report: Report) -> str:
    others = (
        "photographs held out of training"
        if report.judgement.memorisation.held_out
        else "other photographs"
    )
    return (
        f"The photographs' column is what photographs reach against {others}: both "
        f"sets are cut into halves of {report.judgement.images:,}, and every distance is taken "
        "between two halves. A perfect generator would reach that number, not 0. The features are "
        "those of a small classifier of CIFAR-10's ten classes, which is in the repository."
    )


def _samples(report: Report) -> list[str]:
    rng = np.random.default_rng(0)
    chosen = rng.permutation(len(report.photographs))[:SHOWN]
    drawn = report.generated[:SHOWN]
    return [
        heading("What it draws"),
        beside(
            [
                figure(picture(drawn, COLUMNS, "generated images"), "Generated, unselected"),
                figure(
                    picture(report.photographs[chosen], COLUMNS, "photographs"),
                    "Photographs it was trained on, chosen at random",
                ),
            ]
        ),
    ]


def _scales(report: Report) -> list[str]:
    groups = {f"{size} pixels": list(pair) for size, pair in report.judgement.swd_levels.items()}
    axes = Axes("Sliced Wasserstein distance by scale", "level of the pyramid", "SWD x 1,000")
    return [
        heading("How far from the photographs, scale by scale"),
        figure(
            bar_chart(axes, groups, NAMES),
            "The finest level holds edges and textures, that of 16 pixels the whole small image.",
        ),
    ]


def _memorisation(report: Report) -> list[str]:
    memory = report.judgement.memorisation
    found = memory.generated
    closest = np.argsort(found.distance, kind="stable")
    figures = [
        _pairs(
            report, closest, "The nearest of all: generated above, its nearest photograph below"
        ),
        _pairs(
            report, np.arange(len(closest)), "The first ones drawn, and what is nearest to them"
        ),
    ]
    axes = Axes(
        "Distances to the nearest training photograph",
        "distance to the nearest training photograph, grey levels",
        "images, per cent",
    )
    samples = dict(zip(NAMES, (found.distance, memory.real.distance), strict=True))
    return [
        heading("Drawn, or remembered?"),
        paragraph(_verdict(report)),
        beside(figures),
        figure(histogram(axes, samples), _reference(report)),
    ]


def _pairs(report: Report, chosen: NDArray[np.int64], caption: str) -> str:
    """Return the first of the ``chosen`` generated images, each above its nearest photograph."""
    columns = min(COLUMNS, len(chosen))
    some = chosen[: min(len(chosen) // columns, PAIRS) * columns]
    found = report.judgement.memorisation.generated
    images = beside_nearest(report.generated, report.photographs, found, some, columns)
    return figure(picture(images, columns, "generated images above photographs"), caption)


def _verdict(report: Report) -> str:
    memory = report.judgement.memorisation
    return (
        f"{memory.copied:.2%} of the generated images are twins of a training photograph: less "
        f"than {TWIN:.0%} as far from it as from any other. Of the photographs, {memory.twins:.2%} "
        f"have a twin. {memory.near_share:.2%} of the generated images are within "
        f"{memory.near:.1f} grey levels of a photograph, where {QUANTILE:.0%} of the photographs "
        "without a twin are."
    )


def _reference(report: Report) -> str:
    memory = report.judgement.memorisation
    reference = (
        "Photographs: held out of training, against those trained on."
        if memory.held_out
        else "Photographs: this run held none out, so each is measured against all the others."
    )
    return (
        f"{reference} Root mean square difference; mirrored photographs count. The generated "
        f"distribution runs ahead by at most {memory.nearer:.3f} (nearer), and lags by at most "
        f"{memory.farther:.3f} (farther), on a scale of 0 to 1; twins left out. Smooth images "
        "are nearer to everything."
    )


def _training(report: Report) -> list[str]:
    charts = []
    for title, (unit, columns) in HISTORY.items():
        lines = [
            line for column, name in columns.items() if (line := _line(report, column, name)).x
        ]
        if lines:
            drawn = line_chart(Axes(title, "epoch", unit, whole_x=True), lines)
            charts.append(figure(drawn, title))
    return [heading("How it was trained"), beside(charts)] if charts else []


def _line(report: Report, column: str, name: str) -> Series:
    rows = [row for row in report.history if row.get(column)]
    epochs = [float(row["epoch"]) for row in rows]
    return Series(name, epochs, [float(row[column]) for row in rows])
