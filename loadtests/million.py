"""A million images in one command, killed twice on the way: ``make million``.

It starts ``carfront generate --bundle``, kills it with SIGKILL when a third and two thirds of the
images are there, starts the same command again each time, and has ``carfront verify`` check all
files and a sample of images. Stopped itself, it goes on where it was. What the commands say goes
to ``FOLDER.log``; the last lines are printed at the end.
"""

import argparse
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from loadtests.readings import MeasureError, origin
from loadtests.serving import ROOT

BUNDLE = "models/cars-dcgan/2"
POLL_S = 0.1
LAST_LINES = 12


def main(argv: list[str] | None = None) -> int:
    """Run as the command line says; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.million", description=__doc__)
    parser.add_argument("--images", type=int, default=1_000_000, help="images (1000000)")
    parser.add_argument("--kills", type=int, default=2, help="kills on the way (2)")
    parser.add_argument("--format", default="tar", help="tar, npy or parquet (tar)")
    parser.add_argument("--folder", type=Path, default=Path("build/million"), help="build/million")
    parser.add_argument("--sample", type=int, default=10_000, help="images drawn again (10000)")
    parser.add_argument("--save", type=Path, help="write the log's last lines and the times there")
    args = parser.parse_args(argv)
    args.folder.parent.mkdir(parents=True, exist_ok=True)
    log = args.folder.with_name(f"{args.folder.name}.log")
    generate = (
        "generate", f"--seeds=0:{args.images}", f"--output={args.folder}",
        f"--format={args.format}", f"--bundle={BUNDLE}",
    )  # fmt: skip
    verify = ("verify", str(args.folder), f"--sample={args.sample}", f"--bundle={BUNDLE}")
    try:
        for number in range(1, args.kills + 1):
            run(generate, log, args.folder, number * args.images // (args.kills + 1))
        run(generate, log)
        run(verify, log)
    except MeasureError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"Stopped; the same command goes on. {log} tells how far it is.", file=sys.stderr)
        return 130
    command = f"python -m loadtests.million --images {args.images}"
    report = origin(command) | summary(log.read_text(), args.images)
    print(json.dumps(report, indent=2))
    if args.save:
        args.save.parent.mkdir(parents=True, exist_ok=True)
        args.save.write_text(json.dumps(report, indent=2) + "\n")
    return 0


def run(arguments: Sequence[str], log: Path, folder: Path | None = None, kill_at: int = 0) -> None:
    """Run a command of carfront to its end, or kill it when ``kill_at`` images are in ``folder``.

    Where they are there before, as this run goes on with another one, nothing is run.

    Raises:
        MeasureError: the command failed.
    """
    if folder and images_in(folder) >= kill_at:
        return
    command = [sys.executable, "-m", "carfront", *arguments]
    began = time.monotonic()
    with log.open("a") as output:
        output.write(f"$ {' '.join(['carfront', *arguments])}\n")
        output.flush()
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
        try:
            while process.poll() is None:
                if folder and images_in(folder) >= kill_at:
                    process.send_signal(signal.SIGKILL)
                    break
                time.sleep(POLL_S)
            status = process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            process.wait()
            raise
        killed = " (killed)" if status == -signal.SIGKILL else ""
        output.write(f"ended with status {status}{killed} after {time.monotonic() - began:.1f} s\n")
    if status not in (0, -signal.SIGKILL if folder else 0):
        raise MeasureError(f"{arguments[0]} ended with status {status}; {log} says why")


def images_in(folder: Path) -> int:
    """Return how many images the index in ``folder`` has."""
    try:
        return int(json.loads((folder / "index.json").read_text())["images"])
    except FileNotFoundError:
        return 0


def summary(text: str, images: int) -> dict[str, object]:
    """Return what the log ``text`` tells: its last lines, kills, and the time of all commands."""
    ends = re.findall(r"^ended with status (-?\d+).* after ([\d.]+) s$", text, re.MULTILINE)
    seconds = sum(float(took) for _, took in ends)
    return {
        "images": images,
        "kills": sum(status == "-9" for status, _ in ends),
        "seconds": round(seconds, 1),
        "images_per_s": round(images / seconds, 1),
        "last_lines": text.splitlines()[-LAST_LINES:],
    }


if __name__ == "__main__":
    sys.exit(main())
