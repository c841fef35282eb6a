"""Predicts replicas under load: ``python -m loadtests.simulate {measure,check,recommend}``.

``measure`` measures one replica on this machine, ``check`` holds the prediction of one replica
against such a measurement, and ``recommend`` simulates Kubernetes' autoscalers with many signals
and targets, and says which ones keep the objective at what cost.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from loadtests.readings import MeasureError, origin
from loadtests.serving import ServerFailed
from loadtests.simulate import check, measure, report

EXAMPLES = """examples:
  python -m loadtests.simulate measure --python .venvs/serve/bin/python --save build/replica.json
  python -m loadtests.simulate check build/replica.json
  python -m loadtests.simulate recommend --save build/autoscaling.json
"""


def main(argv: list[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    args = parser().parse_args(argv)
    try:
        return int(args.run(args))
    except (MeasureError, ServerFailed) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    found = argparse.ArgumentParser(
        prog="python -m loadtests.simulate",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = found.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("measure", help="measure one replica on this machine")
    command.add_argument("--python", default=sys.executable, help="the serving interpreter")
    command.add_argument("--rounds", type=int, default=3, help="rounds (3)")
    command.add_argument("--seconds", type=float, default=10, help="seconds of each load (10)")
    command.add_argument("--save", type=Path, help="write the result there as JSON")
    command.set_defaults(run=_measure)
    command = commands.add_parser("check", help="hold a prediction against a measurement")
    command.add_argument("measured", nargs="?", type=Path, help="the result of `measure`")
    command.set_defaults(run=_check)
    command = commands.add_parser("recommend", help="simulate autoscalers, and choose")
    command.add_argument("--save", type=Path, help="write the result there as JSON")
    command.set_defaults(run=_recommend)
    return found


def _measure(args: argparse.Namespace) -> int:
    found = measure.measured(args.python, args.rounds, args.seconds)
    command = (
        f"python -m loadtests.simulate measure --rounds {args.rounds} --seconds {args.seconds:g}"
    )
    loads = check.compared(found)
    _save(args.save, origin(command) | found | {"compared": [asdict(each) for each in loads]})
    print(check.table(loads))
    return 0


def _check(args: argparse.Namespace) -> int:
    benches = [check.busy(name) for name in report.BENCHES]
    print("\n".join(map(str, benches)))
    faults = check.busy_faults(benches)
    if args.measured:
        loads = check.compared(json.loads(args.measured.read_text()))
        print(check.table(loads))
        faults += check.faults(loads)
    for fault in faults:
        print(f"fault: {fault}")
    return 1 if faults else 0


def _recommend(args: argparse.Namespace) -> int:
    found = report.recommendation()
    facts = origin("python -m loadtests.simulate recommend")
    del facts["hardware"]  # nothing is measured
    _save(args.save, facts | found)
    print(report.table(found))
    faults = report.faults(found)
    for fault in faults:
        print(f"fault: {fault}")
    return 1 if faults else 0


def _save(path: Path | None, found: dict[str, Any]) -> None:
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
