"""Measures the protocols against each other, in turns in one run: what each costs beside drawing.

A round asks three servers, load after load: JSON of 64 rows of latents in and UINT8 out, with
orjson and with the standard library's json; 1,024 rows in binary by the Open Inference Protocol,
and as .npy files; single PNGs of the default model, drawn and not. Needs wrk, and for all but those
PNGs a model that draws in no time: ``python -m tests.small_model build/small-models``.
"""

import argparse
import http.client
import io
import json
import statistics
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from loadtests import wrk
from loadtests.readings import MeasureError, hardware, one, save
from loadtests.serving import ROOT, get, serving

STANDARD_JSON = {"PYTHONPATH": str(Path(__file__).with_name("standard_json"))}
"""The environment of a server that reads and writes JSON with the standard library."""
SETTLE_S = 4.0
"""The seconds for which the servers are left alone at first, since they warm up."""
OURS, STANDARD, DEFAULT = "ours", "with the standard library's json", "of the default model"
"""The servers."""
WIDTH = 100
BODY = """
local file = io.open("PATH", "rb")
wrk.body = file:read("*all")
wrk.method = "POST"
function request()
  return wrk.format(nil, "TARGET")
end
"""
HELD = """
wrk.headers["If-None-Match"] = 'TAG'
function request()
  return wrk.format("GET", "TARGET")
end
"""


@dataclass(frozen=True)
class Load:
    """One kind of request, made without pause."""

    name: str
    script: str
    """The Lua script with which wrk makes the requests."""
    connections: int
    images: int
    server: str = OURS
    """The server that is asked."""


PAIRS = (
    ("JSON of 64 rows", "orjson", "standard json"),
    ("1,024 rows against .npy of latents", "1,024 binary rows", "1,024 as .npy of latents"),
    ("1,024 rows against .npy of seeds", "1,024 binary rows", "1,024 as .npy of seeds"),
    ("single PNGs", "entity tags that are right", "drawn PNGs"),
)
"""The ratios, each of two loads by their names."""


def main(argv: list[str] | None = None) -> int:
    """Measure as the command line says; return the exit status."""
    args = parser().parse_args(argv)
    models = {"CARFRONT_MODELS": str(args.models.resolve())}
    try:
        wrk.require()
        with (
            serving(args.python, models, checkout=args.checkout) as ours,
            serving(args.python, models | STANDARD_JSON, checkout=args.checkout) as standard,
            serving(args.python, checkout=args.checkout) as default,
            tempfile.TemporaryDirectory() as folder,
        ):
            urls = {OURS: ours.url, STANDARD: standard.url, DEFAULT: default.url}
            loads = loads_of(urls, Path(folder))
            time.sleep(SETTLE_S)
            rounds = []
            for number in range(args.rounds):
                turn = loads if number % 2 == 0 else loads[::-1]
                found = {x.name: rate(urls[x.server], x, Path(folder), args.seconds) for x in turn}
                rounds.append({x.name: found[x.name] for x in loads})
                print(f"round {number + 1} of {args.rounds} is done", flush=True)
    except MeasureError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(table(rounds))
    if args.save:
        command = " ".join(["python -m loadtests.protocols", *(argv or sys.argv[1:])])
        save(args.save, command, {"ratios": ratios(rounds), "rounds": rounds})
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    found = argparse.ArgumentParser(prog="python -m loadtests.protocols", description=__doc__)
    found.add_argument("--rounds", type=int, default=5, help="rounds (5)")
    found.add_argument("--seconds", type=int, default=4, help="seconds of each load (4)")
    found.add_argument("--models", type=Path, default=ROOT / "build" / "small-models")
    found.add_argument("--python", default=sys.executable, help="the serving interpreter")
    found.add_argument("--checkout", type=Path, default=ROOT, help="whose server is started")
    found.add_argument("--save", type=Path, help="write the result there as JSON")
    return found


def loads_of(urls: dict[str, str], folder: Path) -> list[Load]:
    """Return all loads; their bodies are in ``folder``."""
    infer = f"/v2/models/{json.loads(get(f'{urls[OURS]}/'))['model']}/infer"
    numbers = np.random.default_rng(7)
    few, many = (numbers.standard_normal((n, WIDTH), np.float32) for n in (64, 1024))
    document = {"inputs": [tensor(few) | {"data": few.ravel().tolist()}]}
    rows = posted(folder, "rows.json", json.dumps(document).encode(), infer)
    head = json.dumps(
        {
            "inputs": [tensor(many) | {"parameters": {"binary_data_size": many.nbytes}}],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    fields = f'wrk.headers["Inference-Header-Content-Length"] = "{len(head)}"\n'
    binary = fields + posted(folder, "binary", head + many.tobytes(), infer)
    file = io.BytesIO()
    np.save(file, many)
    kind = 'wrk.headers["Content-Type"] = "application/x-npy"\n'
    npy = kind + posted(folder, "latents.npy", file.getvalue(), "/v1/images?format=npy")
    held = HELD.replace("TAG", tag_of(urls[DEFAULT])).replace("TARGET", "/v1/images/7.png")
    return [
        Load("orjson", rows, 4, 64),
        Load("standard json", rows, 4, 64, STANDARD),
        Load("1,024 binary rows", binary, 4, 1024),
        Load("1,024 as .npy of latents", npy, 4, 1024),
        Load("1,024 as .npy of seeds", wrk.MANY.replace("IMAGES", "1024"), 4, 1024),
        Load("entity tags that are right", held, 32, 1, DEFAULT),
        Load("drawn PNGs", wrk.SINGLE, 32, 1, DEFAULT),
    ]


def tensor(latents: np.typing.NDArray[np.float32]) -> dict[str, object]:
    """Return what the Open Inference Protocol says of ``latents`` besides their numbers."""
    return {"name": "latents", "datatype": "FP32", "shape": list(latents.shape)}


def posted(folder: Path, name: str, body: bytes, target: str) -> str:
    """Return the script of requests with a ``body``, which is kept in ``folder``."""
    (folder / name).write_bytes(body)
    return BODY.replace("PATH", str(folder / name)).replace("TARGET", target)


def tag_of(url: str) -> str:
    """Return the entity tag of the image of seed 7."""
    with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)) as connection:
        connection.request("HEAD", "/v1/images/7.png")
        return str(connection.getresponse().headers["ETag"])


def rate(url: str, load: Load, folder: Path, seconds: int) -> float:
    """Return the images a second under ``load``; what is not drawn counts too.

    Raises:
        MeasureError: a request failed.
    """
    script = folder / "load.lua"
    script.write_text(load.script)
    command = ["wrk", "-t1", f"-c{load.connections}", "--timeout", wrk.TIMEOUT, "-s", str(script)]
    wrk.run([*command, "-d1s", url])
    text = wrk.run([*command, f"-d{seconds}s", url])
    return float(one(r"Requests/sec:\s+([\d.]+)", text)) * load.images


Rounds = list[dict[str, float]]
"""The images a second of each round, by the loads' names."""


def ratios(rounds: Rounds) -> dict[str, float]:
    """Return the median of each pair's ratios over the rounds."""
    return {
        name: round(statistics.median(x[first] / x[second] for x in rounds), 3)
        for name, first, second in PAIRS
    }


def table(rounds: Rounds) -> str:
    """Return the medians and the ratios as tables in Markdown."""
    lines = [f"{hardware()}; medians of {len(rounds)} rounds", "", "| load | images/s |"]
    lines.append("| --- | ---: |")
    medians = {name: statistics.median(x[name] for x in rounds) for name in rounds[0]}
    lines += [f"| {name} | {median:,.0f} |" for name, median in medians.items()]
    lines += ["", "| ratio | median | rounds |", "| --- | ---: | ---: |"]
    for name, first, second in PAIRS:
        each = sorted(x[first] / x[second] for x in rounds)
        middle = statistics.median(each)
        lines.append(f"| {name} | {middle:.2f} | {each[0]:.2f} to {each[-1]:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
