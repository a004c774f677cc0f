"""The API's description (OpenAPI 3.1), built from the structs that decode and render it.

A slice lists its calls as `OPERATIONS`; `document` joins them, and `/docs` shows the result without
fetching anything from elsewhere.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from importlib import resources
from typing import Annotated, Any, Final, Literal

import msgspec
from aiohttp import web

from engine.infra.http.problem import PROBLEM_JSON, TYPE_PREFIX
from engine.kernel import codec
from engine.kernel.errors import (
    EngineError,
    Forbidden,
    Overloaded,
    PreconditionFailed,
    Unauthorised,
    ValidationFailed,
)
from engine.kernel.limits import PAGE_DEFAULT, PAGE_MAX

_REFERENCE: Final = "#/components/schemas/{name}"
_PARAMETER: Final = re.compile(r"\{(\w+)\}")
_CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

Schema = dict[str, Any]


class ProblemFault(codec.Answer, frozen=True):
    """One thing that is wrong with a request."""

    pointer: str
    detail: str


class Problem(codec.Answer, frozen=True):
    """A refusal (RFC 9457); members beside these depend on `code`."""

    type: Annotated[str, msgspec.Meta(pattern=f"^{TYPE_PREFIX}")]
    title: str
    status: int
    code: str
    detail: str
    errors: list[ProblemFault] = msgspec.field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Query:
    """One parameter of a query string."""

    name: str
    description: str
    kind: Literal["string", "integer", "boolean"] = "string"
    required: bool = False


PAGED: Final = (
    Query("cursor", "`next_cursor` of the page before"),
    Query("limit", f"1 to {PAGE_MAX}, {PAGE_DEFAULT} when not given", "integer"),
)


@dataclass(frozen=True, slots=True)
class Told:
    """One type of message that we send; `headers` are (name, description)."""

    name: str
    told: str
    payload: type[msgspec.Struct]
    headers: tuple[tuple[str, str], ...]

    def envelope(self, references: Mapping[type, Schema]) -> Schema:
        """Return the schema of its body."""
        return {
            "type": "object",
            "required": ["type", "timestamp", "data"],
            "properties": {
                "type": {"const": self.name},
                "timestamp": {"type": "string", "format": "date-time"},
                "data": references[self.payload],
            },
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One call as its callers see it."""

    method: str
    path: str
    summary: str
    scope: str
    request: type[msgspec.Struct] | None
    responses: Mapping[int, type[msgspec.Struct] | None]
    problems: tuple[type[EngineError], ...]
    query: tuple[Query, ...]
    headers: tuple[str, ...]
    etag: bool

    @property
    def tag(self) -> str:
        """The group it is shown in: the first word of its path."""
        return re.split(r"[/:]", self.path.removeprefix("/v1/"))[0]


def operation(  # noqa: PLR0913 - a call has that many facts, all but four of them optional
    method: str,
    path: str,
    summary: str,
    scope: str,
    *,
    request: type[msgspec.Struct] | None = None,
    responses: Mapping[int, type[msgspec.Struct] | None],
    problems: Sequence[type[EngineError]] = (),
    query: Sequence[Query] = (),
    headers: Sequence[str] = (),
    etag: bool = False,
) -> Operation:
    """Describe one call; refusals that every call may give are added by `document`."""
    return Operation(
        method=method.lower(),
        path=path,
        summary=summary,
        scope=scope,
        request=request,
        responses=responses,
        problems=tuple(problems),
        query=tuple(query),
        headers=tuple(headers),
        etag=etag,
    )


def document(operations: Iterable[Operation], version: str, told: Sequence[Told] = ()) -> Schema:
    """Return the whole description; the same operations give the same bytes."""
    ordered = sorted(operations, key=lambda one: (one.path, one.method))
    structs = {kind for one in ordered for kind in _structs(one)} | {Problem}
    structs |= {one.payload for one in told}
    by_name = sorted(structs, key=lambda kind: kind.__name__)
    schemas, components = msgspec.json.schema_components(by_name, ref_template=_REFERENCE)
    references = dict(zip(by_name, map(_plain, schemas), strict=True))
    paths: dict[str, Schema] = {}
    for one in ordered:
        item = paths.setdefault(one.path, _path_item(one.path))
        item[one.method] = _operation(one, references)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tidegate",
            "version": version,
            "description": "The order engine behind a brand's sales days.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"key": []}],
        "tags": [{"name": name} for name in sorted({one.tag for one in ordered})],
        "paths": paths,
        "webhooks": {one.name: {"post": _told(one, references)} for one in told},
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": _named(components),
        },
    }


def routes(
    operations: Iterable[Operation], version: str, told: Sequence[Told] = ()
) -> list[web.RouteDef]:
    """Return /openapi.json and /docs; both are made once and need no key."""
    body = codec.encode(document(operations, version, told))

    async def openapi(_request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    return [
        web.get("/openapi.json", openapi),
        _static("/docs", "docs.html", "text/html"),
        _static("/docs/docs.js", "docs.js", "text/javascript"),
        _static("/docs/docs.css", "docs.css", "text/css"),
    ]


def _static(path: str, name: str, content_type: str) -> web.RouteDef:
    body = (resources.files("engine.infra.http") / "static" / name).read_bytes()

    async def serve(_request: web.Request) -> web.Response:
        headers = {"Content-Security-Policy": _CSP}
        return web.Response(body=body, content_type=content_type, charset="utf-8", headers=headers)

    return web.get(path, serve)


def _named(components: Mapping[str, Schema]) -> Schema:
    """Return the schemas by names that no two share, which no module is part of."""
    named = {_name(name): _plain(schema) for name, schema in components.items()}
    assert len(named) == len(components), "two structs of a slice have one name"
    for name, schema in named.items():
        schema["title"] = name
    return dict(sorted(named.items()))


def _name(name: str) -> str:
    """Return `ListingsItem` for the `engine.listings.types.Item` that msgspec tells from others."""
    first, _, rest = name.partition(".")
    if not rest:
        return first
    return rest.split(".")[0].title() + name.rpartition(".")[2]


def _plain(schema: Any) -> Any:
    """Return a schema as generators of clients read it.

    They know names without dots, and no `items: false`; `maxItems` says that of a tuple already.
    """
    if isinstance(schema, list):
        return [_plain(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if isinstance(reference := schema.get("$ref"), str):
        return {**schema, "$ref": _REFERENCE.format(name=_name(reference.rpartition("/")[2]))}
    return {
        key: _plain(value)
        for key, value in schema.items()
        if not (key == "items" and value is False)
    }


def _structs(one: Operation) -> set[type[msgspec.Struct]]:
    found = {kind for kind in one.responses.values() if kind is not None}
    return found | {one.request} if one.request is not None else found


def _path_item(path: str) -> Schema:
    names = _PARAMETER.findall(path)
    if not names:
        return {}
    schema = {"type": "string", "minLength": 1, "maxLength": 128}
    return {
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": schema} for name in names
        ]
    }


def _operation(one: Operation, references: Mapping[type, Schema]) -> Schema:
    described: Schema = {
        "operationId": _operation_id(one),
        "summary": one.summary,
        "description": f"Scope `{one.scope}`.",
        "tags": [one.tag],
        "responses": {
            **{str(status): _success(status, one, references) for status in one.responses},
            **_refusals(one),
        },
    }
    if parameters := [*map(_query, one.query), *map(_header, _headers(one))]:
        described["parameters"] = parameters
    if one.request is not None:
        content = {"application/json": {"schema": references[one.request]}}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _told(one: Told, references: Mapping[type, Schema]) -> Schema:
    return {
        "operationId": f"told_{one.name.replace('.', '_')}",
        "summary": one.told,
        "tags": ["webhooks"],
        "security": [],
        "parameters": [
            {**_header(name), "required": True, "description": described}
            for name, described in one.headers
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": one.envelope(references)}},
        },
        "responses": {
            "2XX": {"description": "Taken; anything else is sent again"},
            "410": {"description": "Gone: the webhook is disabled"},
        },
    }


def _operation_id(one: Operation) -> str:
    words = re.findall(r"\w+", one.path.removeprefix("/v1/"))
    return "_".join([one.method, *words])


def _success(status: int, one: Operation, references: Mapping[type, Schema]) -> Schema:
    kind = one.responses[status]
    answer: Schema = {"description": HTTPStatus(status).phrase}
    if kind is not None:
        answer["content"] = {"application/json": {"schema": references[kind]}}
    if one.etag:
        answer["headers"] = {"ETag": {"schema": {"type": "string"}}}
    return answer


def _refusals(one: Operation) -> dict[str, Schema]:
    """Group what may be refused by status, since OpenAPI knows one answer per status."""
    kinds: set[type[EngineError]] = {Unauthorised, Forbidden, Overloaded, *one.problems}
    if one.request is not None or one.query or _PARAMETER.search(one.path):
        kinds.add(ValidationFailed)
    if one.etag and one.method == "put":
        kinds.add(PreconditionFailed)
    by_status: dict[int, list[str]] = {}
    for kind in sorted(kinds, key=lambda kind: kind.code):
        line = (kind.__doc__ or kind.code).splitlines()[0]
        by_status.setdefault(kind.status, []).append(f"`{kind.code}`: {line}")
    schema = {"$ref": _REFERENCE.format(name=Problem.__name__)}
    return {
        str(status): {
            "description": "\n\n".join(lines),
            "content": {PROBLEM_JSON: {"schema": schema}},
        }
        for status, lines in sorted(by_status.items())
    }


def _headers(one: Operation) -> tuple[str, ...]:
    return ("If-Match", *one.headers) if one.etag and one.method == "put" else one.headers


def _query(one: Query) -> Schema:
    return {
        "name": one.name,
        "in": "query",
        "required": one.required,
        "description": one.description,
        "schema": {"type": one.kind},
    }


def _header(name: str) -> Schema:
    return {"name": name, "in": "header", "required": False, "schema": {"type": "string"}}
