"""Refusals as `application/problem+json` (RFC 9457): one shape for every error of the API."""

import secrets
from collections.abc import Hashable, Iterable
from functools import lru_cache
from http import HTTPStatus
from typing import Final, cast

from aiohttp import web

from engine.kernel import codec
from engine.kernel.errors import (
    EngineError,
    MethodNotAllowed,
    NotFound,
    Overloaded,
    PayloadTooLarge,
    RateLimited,
    UnsupportedMediaType,
    ValidationFailed,
)
from engine.kernel.types import Fault

PROBLEM_JSON: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:tidegate:problem:"

# Clients that were turned away together must not come back together.
RETRY_AFTER_S: Final = (1, 2, 3)

_KNOWN: Final[dict[int, type[EngineError]]] = {
    404: NotFound,
    405: MethodNotAllowed,
    413: PayloadTooLarge,
    415: UnsupportedMediaType,
    503: Overloaded,
}


def document(error: EngineError) -> dict[str, object]:
    """Return the problem document of a refusal, as it also stands inside a batch answer."""
    return {
        "type": TYPE_PREFIX + error.code,
        "title": error.code.replace("_", " "),
        "status": error.status,
        "code": error.code,
        "detail": error.detail,
        **error.extra,
    }


def problem_bytes(error: EngineError) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body; a hot route answers with them without any middleware."""
    headers = {"Content-Type": PROBLEM_JSON}
    if error.retryable:
        known = error.retry_after_s if isinstance(error, RateLimited) else 0
        headers["Retry-After"] = str(known or secrets.choice(RETRY_AFTER_S))
    elif error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return error.status, headers, _body(error)


def _body(error: EngineError) -> bytes:
    try:
        told = cast("Iterable[Hashable]", (type(error), *error.extra.values()))
        return _encoded(error.detail, tuple(error.extra), *told)
    except TypeError:  # a list in it: no two of those are the same
        return codec.encode(document(error))


@lru_cache(maxsize=1_024, typed=True)
def _encoded(
    detail: str, names: tuple[str, ...], kind: type[EngineError], *values: Hashable
) -> bytes:
    """Return a problem's bytes; in a sold-out sale most are the same few."""
    error = kind.__new__(kind)
    error.detail, error.extra = detail, dict(zip(names, values, strict=True))
    return codec.encode(document(error))


def problem_response(error: EngineError) -> web.Response:
    """Return the refusal as aiohttp sends it."""
    status, headers, body = problem_bytes(error)
    return web.Response(status=status, headers=headers, body=body)


def from_http(error: web.HTTPException) -> web.Response:
    """Return one of aiohttp's own refusals in our shape; `Allow` and the like are kept."""
    if kind := _KNOWN.get(error.status):
        response = problem_response(kind())
    elif error.status == HTTPStatus.BAD_REQUEST:
        response = problem_response(ValidationFailed([Fault("", error.text or error.reason)]))
    else:
        response = _unnamed(error)
    for name in ("Allow", "Location"):
        if name in error.headers:
            response.headers[name] = error.headers[name]
    return response


def http_bytes(error: web.HTTPException) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of one of aiohttp's own refusals, as `problem_bytes`."""
    response = from_http(error)
    body = cast("bytes", response.body)
    return response.status, dict(response.headers), body


def _unnamed(error: web.HTTPException) -> web.Response:
    code = error.reason.lower().replace(" ", "_")
    body = {
        "type": TYPE_PREFIX + code,
        "title": error.reason,
        "status": error.status,
        "code": code,
        "detail": error.reason,
    }
    return web.Response(status=error.status, body=codec.encode(body), content_type=PROBLEM_JSON)
