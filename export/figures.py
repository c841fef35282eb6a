"""An evaluation's figures in the report of a bundle: a table of the model beside photographs."""

from collections.abc import Iterator, Mapping
from typing import Any

from export.page import table

HEADS = ["measure", "model", "photographs"]
SHARES = ("precision", "recall", "coverage", "cars")
END = "\n</body>"


def with_figures(page: str, evaluation: Mapping[str, Any]) -> str:
    """Return the report ``page`` with a section of the figures; as it is where there are none."""
    if not evaluation:
        return page
    return page.replace(END, "\n" + "\n".join(_section(evaluation)) + END)


def _section(evaluation: Mapping[str, Any]) -> Iterator[str]:
    results, how = evaluation["results"], evaluation["how"]
    yield "<h2>How good the images are</h2>"
    yield table(HEADS, list(rows(results)))
    yield (
        f"<p>{how['images']:,} images drawn with seed {how['seed']}, in halves of "
        f"{results['images_per_half']:,}, against the photographs of the training; the other "
        "column is what photographs reach against other photographs. The repository's README of "
        "the training says what each measure means, and <code>python -m training.evaluate</code> "
        "measures it again.</p>"
    )


def rows(results: Mapping[str, Any]) -> Iterator[list[str]]:
    """Yield the lines of the table: a measure, the model's figure, and the photographs'."""
    swd, classifier, memory = (results[x] for x in ("swd_x1e3", "classifier", "memorisation"))
    yield _row("SWD x 1,000", swd["mean"])
    for size, pair in swd["levels"].items():
        yield _row(f"SWD x 1,000, {size} pixels", pair)
    yield _row("distance of features", classifier["frechet"])
    for name in SHARES:
        pair = classifier[name]
        yield [name, f"{pair['generated']:.1%}", f"{pair['baseline']:.1%}"]
    for name, key in (("FID", "fid"), ("KID x 1,000", "kid_x1e3")):
        if results.get(key):
            yield _row(name, results[key])
    yield _row("colour, grey levels", results["colour_grey_levels"])
    for name, pair in results["diversity_grey_levels"].items():
        yield [
            f"diversity, {name}, grey levels",
            f"{pair['generated']:.1f}",
            f"{pair['photographs']:.1f}",
        ]
    yield ["near a photograph", f"{memory['near_share']:.2%}", "1.00%"]
    twins = memory["photographs_with_a_twin"]
    yield ["copied from a photograph", f"{memory['copied_share']:.2%}", f"{twins:.2%}"]


def _row(name: str, pair: Mapping[str, float]) -> list[str]:
    return [name, f"{pair['generated']:.2f}", f"{pair['baseline']:.2f}"]
