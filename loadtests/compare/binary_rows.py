"""The rate of tritonclient's binary requests of 1 and 64 rows: the Open Inference Protocol."""

import base64
import json
import subprocess
from functools import cache

from loadtests import wrk
from loadtests.compare import rates
from loadtests.compare.contenders import Running
from loadtests.compare.environments import python_of
from loadtests.compare.faults import NotMeasured
from loadtests.peers.catalog import PEERS
from loadtests.peers.requests import LENGTH_OF_HEAD, MODEL_PATH, BinaryRequests, Call
from loadtests.readings import MeasureError, one
from loadtests.serving import ROOT

LOADS = (wrk.Load("1 binary row", 32, 1), wrk.Load("64 binary rows", 16, 64))
CPU = {load.name: f"CPU of {load.name}" for load in LOADS}
"""The columns of the CPU time of an image, by the loads under which it is measured."""


def rate(server: Running, load: wrk.Load, seconds: int) -> dict[str, float]:
    """Return the requests a second that a server answers, and its CPU time for an image.

    Raises:
        NotMeasured: the server takes no binary tensors.
    """
    if not (server.contender.is_ours or isinstance(server.requests, BinaryRequests)):
        raise NotMeasured("it takes no binary tensors")
    script = request(load.images).script()
    text, cpu_s = rates.asked(server.url, load, seconds, script, server.pid)
    images = rates.answers(text, load.images) * load.images
    requests_per_s = float(one(r"Requests/sec:\s+([\d.]+)", text))
    return {load.name: requests_per_s, CPU[load.name]: cpu_s / images * 1e6}


@cache
def request(rows: int) -> Call:
    """Return the request that tritonclient makes of so many rows.

    Raises:
        MeasureError: tritonclient cannot be had.
    """
    command = [python_of(PEERS["triton"]), "-m", "loadtests.peers.tritonclient_body"]
    ended = subprocess.run([*command, f"--rows={rows}"], cwd=ROOT, capture_output=True, text=True)
    if ended.returncode:
        raise MeasureError(f"tritonclient made no request: {ended.stderr.strip()[-500:]}")
    made = json.loads(ended.stdout)
    fields = {LENGTH_OF_HEAD: str(made["length"])}
    return Call(f"{MODEL_PATH}/infer", base64.b64decode(made["body"]), fields)
