"""One shape for every refusal."""

import msgspec
import pytest
from aiohttp import web

from engine.infra.http import problem
from engine.kernel import errors


def test_a_refusal_is_a_problem_document():
    status, headers, body = problem.problem_bytes(errors.SoldOut("short", line=2))
    assert status == 409
    assert headers == {"Content-Type": "application/problem+json"}
    assert msgspec.json.decode(body) == {
        "type": "urn:tidegate:problem:sold_out",
        "title": "sold out",
        "status": 409,
        "code": "sold_out",
        "detail": "short",
        "line": 2,
    }


def test_without_a_detail_the_error_explains_itself():
    assert problem.document(errors.Paused())["detail"] == "Sale is paused; nothing was taken."


def test_those_turned_away_together_do_not_come_back_together():
    told = {problem.problem_bytes(errors.Closed())[1]["Retry-After"] for _ in range(200)}
    assert told == {"1", "2", "3"}


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (web.HTTPNotFound(), "not_found"),
        (web.HTTPRequestEntityTooLarge(1, 2), "payload_too_large"),
        (web.HTTPUnsupportedMediaType(), "unsupported_media_type"),
        (web.HTTPBadRequest(), "validation_failed"),
        (web.HTTPExpectationFailed(), "expectation_failed"),
    ],
)
def test_what_aiohttp_refuses_has_the_same_shape(raised, code):
    response = problem.from_http(raised)
    assert response.content_type == "application/problem+json"
    found = msgspec.json.decode(response.body)
    assert (found["code"], found["status"]) == (code, raised.status)
    assert response.status


def test_a_wrong_method_says_which_are_right():
    response = problem.from_http(web.HTTPMethodNotAllowed("POST", ["GET", "PUT"]))
    assert (response.status, response.headers["Allow"]) == (405, "GET,PUT")
