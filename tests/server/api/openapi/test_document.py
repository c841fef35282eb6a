"""The document of the HTTP interface: it tells of every route, and of nothing else."""

import pytest
from openapi_spec_validator import validate

from server.api import fast_path, oip
from server.api.auth import PROBES
from server.api.image_request import MEMBERS
from server.api.openapi.document import (
    WITHOUT_BODY,
    document,
    key_of,
    operations_of,
    path_of,
)
from server.api.openapi.operation import Facts
from server.api.query import OF_FILE, OF_GRID, OF_IMAGE
from server.app import create_app
from server.codecs.formats import BY_SUFFIX, FORMATS
from server.config import ServerConfig
from server.error_document import INFERENCE_PROTOCOLS, PROBLEM
from server.observability.known_series import UNROUTED_STATUSES, statuses_at

SOURCES = {"SeedRange", "SeedList", "LatentRows"}
"""The schemas of the bodies of ``POST /v1/images``."""


@pytest.fixture
def app(client):
    return create_app(ServerConfig(admin_token="s3cret"), client)


@pytest.fixture
def facts(client):
    return Facts(client.catalog.find().manifest, has_keys=False)


@pytest.fixture
def told(app, facts):
    return document(app.url_map, facts)


def operations(told):
    """Yield path, method and operation of each of a document's."""
    for path, methods in told["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def names_of(told, operation, place):
    """Return the names of an operation's parameters in a place."""
    components = told["components"]["parameters"]
    parameters = [components[x["$ref"].rpartition("/")[2]] for x in operation["parameters"]]
    return [x["name"] for x in parameters if x["in"] == place]


def test_every_route_of_flask_is_told_of_and_no_other(app, told):
    routes = {
        (path_of(rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in rule.methods - WITHOUT_BODY
    }
    assert {(path, method) for path, method, _ in operations(told)} == routes


def test_whatever_is_told_is_of_a_route(app, facts):
    keys = {key_of(rule) for rule in app.url_map.iter_rules()}
    assert set(operations_of(facts)) == keys


def test_a_route_of_which_nothing_is_told_fails(app, facts):
    app.add_url_rule("/v1/lorries", "lorries", lambda: "", methods=["GET"])
    with pytest.raises(KeyError, match="lorries"):
        document(app.url_map, facts)


def test_routes_that_are_answered_before_flask_are_told_of(told):
    routes = {x.route: method for method, x in fast_path.PLAIN_REQUESTS.items()}
    routes |= {oip.ROUTE: "POST", oip.VERSIONED: "POST"}
    for route, method in routes.items():
        path = route.replace("<", "{").replace(">", "}")
        assert method.lower() in told["paths"][path]


def test_document_is_openapi_3_1(told, app, facts, client):
    assert told["openapi"] == "3.1.0"
    validate(told)
    validate(document(app.url_map, Facts(facts.manifest, has_keys=True)))


def test_every_operation_has_a_name_of_its_own(told):
    names = [operation["operationId"] for _, _, operation in operations(told)]
    assert len(set(names)) == len(names)


def test_queries_and_bodies_have_the_parameters_that_are_read(told):
    paths = told["paths"]
    assert names_of(told, paths["/v1/images/{seed}.png"]["get"], "query") == [*OF_IMAGE]
    assert names_of(told, paths["/v1/grid.webp"]["get"], "query") == [*OF_GRID]
    assert names_of(told, paths["/v1/images"]["post"], "query") == [*OF_FILE]
    schemas = told["components"]["schemas"]
    assert {x for name in SOURCES for x in schemas[name]["properties"]} == {*MEMBERS}


def test_answers_have_the_types_of_the_formats(told):
    paths = told["paths"]
    for suffix, name in BY_SUFFIX.items():
        answer = paths[f"/v1/images/{{seed}}.{suffix}"]["get"]["responses"]["200"]
        assert [*answer["content"]] == [FORMATS[name].mimetype]
    every = paths["/v1/images"]["post"]["responses"]["200"]["content"]
    assert {*every} == {form.mimetype for form in FORMATS.values()}
    any_of = paths["/v1/images/{seed}"]["get"]["responses"]["200"]["content"]
    assert {*any_of} == {FORMATS[name].mimetype for name in BY_SUFFIX.values()}


def test_errors_have_the_form_of_their_path(told):
    responses = told["components"]["responses"]
    for path, _, operation in operations(told):
        kind = "application/json" if INFERENCE_PROTOCOLS(path) else PROBLEM
        for status, answer in operation["responses"].items():
            if status < "400" or path in (*PROBES, "/v2/models/{name}/ready"):
                continue
            whole = responses[answer["$ref"].rpartition("/")[2]] if "$ref" in answer else answer
            is_state = "State" in str(whole["content"])  # not an error, though its status is 503
            assert [*whole["content"]] == [kind] or is_state, (path, status)


def test_routes_that_draw_tell_of_full_and_of_late(told):
    for path, method in (("/v1/grid.png", "get"), ("/v1/images", "post")):
        answers = told["paths"][path][method]["responses"]
        assert "Retry-After" in answers["503"]["headers"]
        assert "deadline" in answers["504"]["description"]


def test_keys_are_asked_for_where_they_are_needed(app, facts):
    told = document(app.url_map, Facts(facts.manifest, has_keys=True))
    for path, _, operation in operations(told):
        is_open = path in (*PROBES, "/metrics")
        assert (operation["security"] == []) is is_open
        assert ("401" in operation["responses"]) is not is_open
    images = told["paths"]["/v1/images/{seed}.png"]["get"]
    assert images["security"] == [{"bearer": []}, {"api-key": []}]
    for status in ("200", "429"):
        assert "RateLimit" in images["responses"][status]["headers"]
    assert "RateLimit" not in told["paths"]["/healthz"]["get"]["responses"]["200"]["headers"]


def test_without_keys_administrators_alone_have_a_token(told):
    asked = {path for path, _, operation in operations(told) if "security" in operation}
    assert asked == {"/v2/repository/models/{name}/{action}"}


def test_every_schema_and_parameter_is_used(told):
    text = str(told)
    for kind, components in told["components"].items():
        for name in components if kind != "securitySchemes" else ():
            assert f"#/components/{kind}/{name}'" in text, name


def test_every_status_that_is_told_of_is_a_known_series(app, told):
    answers = {path_of(rule): set(statuses_at(rule.rule)) for rule in app.url_map.iter_rules()}
    statuses = [set(operation["responses"]) for *_, operation in operations(told)]
    before_routing = set.intersection(*statuses) - {"200"}
    assert before_routing <= set(UNROUTED_STATUSES)
    for path, _, operation in operations(told):
        assert set(operation["responses"]) - before_routing <= answers[path], path
