"""Which tests share a process where two run at a time."""

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
RAN = re.compile(r"^\[(gw\d)\] .* PASSED tests/(\S+)::", re.MULTILINE)
SERVERS = ("test_server_processes.py", "loadtests/load/test_slo.py", "chaos/test_callers.py")
OTHERS = ("server/test_config.py", "server/ipc/test_messages.py")


def test_servers_start_in_one_process_and_the_other_takes_the_rest():
    command = [sys.executable, "-m", "pytest", "--numprocesses", "2", "-v"]
    paths = [f"tests/{file}" for file in (*SERVERS, *OTHERS)]
    chosen = ["-k", "not test_server_processes or drains_for_nearly_as_long"]
    ended = subprocess.run([*command, *paths, *chosen], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout
    workers = defaultdict(set)
    for worker, file in RAN.findall(ended.stdout):
        workers[file].add(worker)
    assert set(workers) == {*SERVERS, *OTHERS}
    assert len(set.union(*(workers[file] for file in SERVERS))) == 1
    assert all(len(workers[file]) == 1 for file in OTHERS)
