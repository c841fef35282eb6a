"""Write what an evaluation of a bundle found into the bundle: its manifest and its report.

The bundle is replaced in place, as a whole. It draws the same images, and has the same key:

    python -m training.evaluate models/cars-dcgan/2
    python -m export.add_evaluation models/cars-dcgan/2 \\
        build/evaluation/cars-dcgan-2/evaluation.json
"""

import argparse
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from export.contents import REPORT_FILE
from export.errors import ExportError
from export.figures import with_figures
from export.quality import figures_of
from export.write import draft_of
from server.bundle.errors import BundleError
from server.bundle.files import Bundle, file_facts, load_bundle
from server.bundle.manifest import write_manifest


class NotItsOwn(ExportError):
    """The evaluation is of another model, or the bundle has one already."""


def add(bundle: Bundle, found: dict[str, Any]) -> None:
    """Replace the bundle by one with the evaluation ``found``, an ``evaluation.json``.

    Raises:
        ExportError: nothing was written; the message says why.
    """
    manifest, name = bundle.manifest, f"{bundle.manifest.name}/{bundle.manifest.version}"
    if manifest.evaluation:
        raise NotItsOwn(f"{bundle.path} has an evaluation already; export its run anew for another")
    if found["run"]["name"] != name:
        raise NotItsOwn(f"the evaluation is of {found['run']['name']}; wanted one of {name}")
    if REPORT_FILE not in manifest.files:
        raise NotItsOwn(f"{bundle.path} has no {REPORT_FILE}: it is not one of python -m export")
    evaluation = figures_of(found)
    size = sum(facts.size for facts in manifest.files.values())
    with draft_of(bundle.path.resolve(), force=True, size=size) as draft:
        for file in manifest.files:
            shutil.copyfile(bundle.path / file, draft / file)
        report = draft / REPORT_FILE
        report.write_text(with_figures(report.read_text(), evaluation))
        files = manifest.files | {REPORT_FILE: file_facts(report)}
        before = {REPORT_FILE: manifest.files[REPORT_FILE]}
        written = replace(manifest, evaluation=evaluation, before_evaluation=before, files=files)
        write_manifest(written, draft)
        load_bundle(draft)


def main(argv: list[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m export.add_evaluation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bundle", type=Path, help="directory of the bundle: models/cars-dcgan/2")
    parser.add_argument("evaluation", type=Path, help="evaluation.json of training.evaluate")
    options = parser.parse_args(argv)
    try:
        add(load_bundle(options.bundle), json.loads(options.evaluation.read_text()))
    except (BundleError, ExportError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (KeyError, TypeError, ValueError) as error:
        told = f"{options.evaluation} is no evaluation.json ({type(error).__name__}: {error})"
        print(f"error: {told}", file=sys.stderr)
        return 1
    print(f"done: {options.bundle}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
