"""The document of the HTTP interface, held against a real server: examples, and Schemathesis."""

import io
import json
import urllib.error
import urllib.request
from urllib.parse import urlencode

import pytest
from jsonschema import Draft202012Validator
from PIL import Image
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012
from urllib3.filepost import encode_multipart_formdata

from loadtests import conformance
from server.api.openapi.page import examples_of, filled
from tests.servers import PATIENCE_S, PYTHON, get, serving

pytestmark = pytest.mark.servers
EXAMPLES = 2
"""The requests of Schemathesis's that are thought of for each operation, besides the edges."""
NOT_THERE = {"label": 404}
"""The parameters of paths that name nothing which is there, and the status of the answer."""


@pytest.fixture(scope="module")
def url():
    with serving(PYTHON, conformance.SETTINGS) as server:
        yield server.url


@pytest.fixture(scope="module")
def told(url):
    return json.loads(get(f"{url}/openapi.json"))


def parameters_of(told, operation):
    components = told["components"]["parameters"]
    return [components[x["$ref"].rpartition("/")[2]] for x in operation["parameters"]]


def requests_of(told):
    """Yield each example: the operation, the method, the target and the body, None if none."""
    for path, methods in told["paths"].items():
        for method, operation in methods.items():
            parameters = parameters_of(told, operation)
            query = {
                x["name"]: x["example"] for x in parameters if x["in"] == "query" and "example" in x
            }
            target = filled(path, parameters) + (f"?{urlencode(query)}" if query else "")
            content = operation.get("requestBody", {}).get("content", {})
            bodies = [value for _, value in examples_of(content)] or [None]
            if "multipart/form-data" in content:
                bodies = [photograph()]
            for body in bodies:
                yield operation, method.upper(), target, body


def photograph():
    """Return the fields of a form with a photograph."""
    file = io.BytesIO()
    Image.new("RGB", (40, 40), "red").save(file, "PNG")
    return {"photo": ("red.png", file.getvalue()), "steps": "2", "restarts": "1"}


def ask(url, method, body):
    """Return the status, the type and the body of an answer."""
    fields = {"Authorization": f"Bearer {conformance.TOKEN}"}
    data = None
    if isinstance(body, dict) and "photo" in body:
        data, fields["Content-Type"] = encode_multipart_formdata(body)
    elif body is not None:
        data, fields["Content-Type"] = json.dumps(body).encode(), "application/json"
    request = urllib.request.Request(url, data, fields, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=PATIENCE_S) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def test_every_example_is_answered_as_the_document_says(url, told):
    document = Resource.from_contents(told, default_specification=DRAFT202012)
    registry = Registry().with_resource("urn:document", document)
    sent = 0
    for operation, method, target, body in requests_of(told):
        status, fields, data = ask(url + target, method, body)
        wanted = next((x for name, x in NOT_THERE.items() if f"{name}s/" in target), 200)
        assert status == wanted, (target, status, data[:300])
        answer = operation["responses"][str(status)]
        if "$ref" in answer:
            answer = told["components"]["responses"][answer["$ref"].rpartition("/")[2]]
        kind = fields.get_content_type()
        assert kind in answer["content"], target
        for name, header in answer["headers"].items():
            component = told["components"]["headers"][header["$ref"].rpartition("/")[2]]
            assert name in fields or not component["required"], (target, name)
        schema = answer["content"][kind].get("schema", {})
        if "json" in kind:
            if "$ref" in schema:
                schema = {"$ref": f"urn:document{schema['$ref']}"}
            Draft202012Validator(schema, registry=registry).validate(json.loads(data))
        sent += 1
    assert sent > len(told["paths"])


def test_answers_to_what_schemathesis_thinks_of_are_those_of_the_document(url):
    assert conformance.conform(url, EXAMPLES, seed=20) == 0
