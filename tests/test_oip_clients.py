"""The examples of the server's README run as they stand there, with the clients that people have.

``CLIENTS_PYTHON`` is the interpreter that has the clients, by default that of ``make clients``.
"""

import io
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import numpy as np
import pytest

from export.tolerances import GOLDEN_LEVELS
from loadtests.serving import free_port
from server.grpc import inference_pb2 as pb
from tests.page.chromium import chromium
from tests.servers import PATIENCE_S, PYTHON, serving

ROOT = Path(__file__).parents[1]
CLIENTS = Path(os.environ.get("CLIENTS_PYTHON", ROOT / ".venvs/clients/bin/python"))
README = (ROOT / "server" / "README.md").read_text()
EXAMPLES = dict(re.findall(r"```python\n# client: ([^\n]+)\n(.+?)```", README, re.DOTALL))
"""The examples by the names of their clients."""
REFUSED = re.search(r"```python\n# refused: tritonclient, gRPC\n(.+?)```", README, re.DOTALL)
"""The example of what is refused, with what it prints below each call."""
PYTRITON = "PyTriton"
"""The client whose package is for Python up to 3.12."""
FLOAT_CLIENTS = ("TensorFlow Serving", "ovmsclient", "tritonclient, float images")
"""The clients whose examples ask for float images."""
DOCUMENTED, DOCUMENTED_GRPC = "127.0.0.1:8000", "127.0.0.1:8001"
INFER = "/v2/models/cars-dcgan/infer"

pytestmark = pytest.mark.servers
needs_clients = pytest.mark.skipif(
    not CLIENTS.exists(), reason="no environment of clients: make clients"
)


@pytest.fixture(scope="module")
def grpc_port():
    return free_port()


@pytest.fixture(scope="module")
def server(grpc_port):
    settings = {"CARFRONT_WORKERS": "2", "CARFRONT_GRPC_PORT": str(grpc_port)}
    with serving(PYTHON, settings) as running:
        yield running


@pytest.fixture(scope="module")
def latents():
    """The latents that the examples ask for."""
    return np.random.default_rng(7).standard_normal((64, 100), np.float32)


@pytest.fixture(scope="module")
def wanted(server, latents):
    """The images of these latents by the server's own interface."""
    body = io.BytesIO()
    np.save(body, latents)
    fields = {"Content-Type": "application/x-npy"}
    request = Request(f"{server.url}/v1/images?format=npy", body.getvalue(), fields)
    with urlopen(request, timeout=PATIENCE_S) as answer:
        return np.load(io.BytesIO(answer.read()))


def test_there_are_examples():
    assert set(EXAMPLES) == {
        "requests",
        "tritonclient",
        "tritonclient, asyncio",
        "tritonclient, gRPC",
        PYTRITON,
        "KServe",
        *FLOAT_CLIENTS,
    }


NUMBERS = """
import json, tritonclient.grpc.service_pb2 as theirs
from google.protobuf import descriptor_pool
pool = descriptor_pool.Default()
def numbers(message):
    return {field.name: (field.number, field.type) for field in message.fields}
print(json.dumps({name: numbers(pool.FindMessageTypeByName(name)) for name in json.loads(input())}))
"""


@needs_clients
def test_messages_of_grpc_are_those_of_tritonclient():
    ours = {}

    def note(message):
        if not message.GetOptions().map_entry:
            found = {field.name: [field.number, field.type] for field in message.fields}
            ours[message.full_name] = found
        for nested in message.nested_types:
            note(nested)

    for message in pb.DESCRIPTOR.message_types_by_name.values():
        note(message)
    command = [CLIENTS, "-W", "ignore", "-c", NUMBERS]
    asked = json.dumps(list(ours))
    ended = subprocess.run(command, input=asked, capture_output=True, text=True, check=True)
    for name, fields in json.loads(ended.stdout).items():
        assert {key: fields.get(key) for key in ours[name]} == ours[name]
    assert len(ours) > 30


def is_before_python_313():
    command = [CLIENTS, "-c", "import sys; print(sys.version_info < (3, 13))"]
    return subprocess.run(command, capture_output=True, text=True).stdout == "True\n"


@needs_clients
@pytest.mark.parametrize("client", EXAMPLES)
def test_example_draws_its_latents(client, server, grpc_port, wanted, tmp_path):
    if client == PYTRITON and not is_before_python_313():
        pytest.skip("nvidia-pytriton is for Python up to 3.12")
    script = EXAMPLES[client]
    assert (DOCUMENTED in script) is not (DOCUMENTED_GRPC in script)
    script = script.replace(DOCUMENTED, urlsplit(server.url).netloc)
    script = script.replace(DOCUMENTED_GRPC, f"127.0.0.1:{grpc_port}")
    command = [CLIENTS, "-W", "ignore", "-c", script]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    images = np.load(tmp_path / "cars.npy")
    if client in FLOAT_CLIENTS:  # in float32, where the others may be in bfloat16
        assert images.dtype == np.float32
        assert np.abs((images + 1) * 127.5 - wanted).max() <= GOLDEN_LEVELS + 0.5
    else:
        assert images.dtype == np.uint8
        assert (images == wanted).all()


@needs_clients
def test_refused_calls_are_told_what_stands_below_them(server, grpc_port):
    assert REFUSED
    script = REFUSED[1].replace(DOCUMENTED_GRPC, f"127.0.0.1:{grpc_port}")
    command = [CLIENTS, "-W", "ignore", "-c", script]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == re.findall(r"^# (\[.+)$", script, re.MULTILINE)


@pytest.fixture(scope="module")
def document(latents):
    """The request for these latents in JSON."""
    tensor = {"name": "latents", "datatype": "FP32", "shape": [64, 100]}
    return json.dumps({"inputs": [{**tensor, "data": latents.tolist()}]})


@pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl")
def test_curl_gets_them_as_bytes_and_as_json(server, latents, document, wanted, tmp_path):
    (tmp_path / "raw").write_bytes(latents.tobytes())
    (tmp_path / "json").write_text(document)
    command = ["curl", "-sf", server.url + INFER, "--data-binary"]
    octets = ["-H", "Content-Type: application/octet-stream"]
    raw = subprocess.run([*command, f"@{tmp_path}/raw", *octets], capture_output=True, check=True)
    assert raw.stdout.endswith(wanted.tobytes())
    told = subprocess.run([*command, f"@{tmp_path}/json"], capture_output=True, check=True)
    (images,) = json.loads(told.stdout)["outputs"]
    assert (np.array(images["data"], np.uint8).reshape(images["shape"]) == wanted).all()


FETCH = """
const [path, body, done] = arguments;
fetch(path, {method: "POST", body}).then((x) => x.json()).then((x) => done(x.outputs[0].data), done)
"""


@pytest.mark.skipif(not shutil.which("chromium"), reason="there is no Chromium")
def test_browser_gets_them(server, document, wanted):
    with chromium() as browser:
        browser.driver.get(f"{server.url}/healthz")  # a page whose scripts may ask this server
        found = browser.driver.execute_async_script(FETCH, INFER, document)
    assert (np.array(found, np.uint8).reshape(wanted.shape) == wanted).all()
