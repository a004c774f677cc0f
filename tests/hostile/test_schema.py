"""Every call of the engine's OpenAPI document, with whatever the document allows, and beyond it.

Schemathesis makes the requests; a call that is added is tried here without a line of ours.
"""

import aiohttp
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from engine.app import document
from tests.fault.engines import ADMIN
from tests.hostile.wire import Reply, is_safe

DESCRIBED = document()
CALLS = [
    (path, method)
    for path, item in DESCRIBED["paths"].items()
    for method in item
    if method != "parameters"
]
EXAMPLES = 4
EXAMPLES_LONG = 500
# A bad item is refused in its own place.
BY_ITEM = {"/v1/orders:batch", "/v1/orders:sync", "/v1/acks:result", "/v1/tracking"}
HEADERS = {"Authorization": f"Bearer {ADMIN}", "Prefer": "respond-async"}
# Not among them: that whatever the schema allows is accepted (rules between fields, and what exists
# already, are no part of a schema), and that a query parameter nobody knows is refused.
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    ignored_auth,
    unsupported_method,
]
schema = schemathesis.openapi.from_dict(DESCRIBED)


async def test_the_document_is_the_running_engines_own(engine):
    async with aiohttp.ClientSession() as session, session.get(engine.url + "/openapi.json") as one:
        assert await one.json() == DESCRIBED


def explore(engine, path, method, examples):
    """Send `examples` requests that the document allows, and as many that it does not."""
    operation = schema[path][method]
    strict = operation.body and path not in BY_ITEM
    checks = [*CHECKS, negative_data_rejection] if strict else CHECKS
    for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):

        @seed(20_261_111)
        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def run(case):
            answer = case.call(base_url=engine.url, headers=HEADERS)
            headers = {name.lower(): value for name, (value, *_) in answer.headers.items()}
            is_safe(Reply(answer.status_code, headers, answer.content))
            if answer.status_code != 503:
                case.validate_response(answer, checks=checks)

        run()


@pytest.mark.parametrize(("path", "method"), CALLS)
def test_it_answers_as_it_says(engine, path, method):
    explore(engine, path, method, EXAMPLES)
    engine.alive()


@pytest.mark.soak
@pytest.mark.usefixtures("asked_for_soak")
@pytest.mark.parametrize(("path", "method"), CALLS)
def test_it_answers_as_it_says_for_long(engine, path, method):
    explore(engine, path, method, EXAMPLES_LONG)
    engine.alive()
