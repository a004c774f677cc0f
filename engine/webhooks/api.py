"""Webhooks over HTTP: for admins with a key that is bound to no channel."""

from functools import cache
from importlib.metadata import version
from typing import Final, get_args

from aiohttp import web

from engine.infra.http.auth import ADMIN, unbound_of
from engine.infra.http.openapi import PAGED, Operation, Query, operation
from engine.infra.http.paging import read_page
from engine.infra.http.query import word_of
from engine.infra.http.server import body_of, json_response, path_id, query_id
from engine.infra.runtime import RUNTIME
from engine.kernel import codec
from engine.kernel.errors import InConflict, NotFound
from engine.webhooks.service import describing
from engine.webhooks.service import endpoints as service
from engine.webhooks.types.documents import (
    AttemptPage,
    LetterPage,
    Replayed,
    ReplayIn,
    Rotated,
    RotateIn,
    TestView,
    WebhookIn,
    WebhookMade,
    WebhookPage,
    WebhookView,
)
from engine.webhooks.types.webhooks import Outcome

_PATH: Final = "/v1/webhooks"
_ONE: Final = _PATH + "/{endpoint_id}"
_OUTCOMES: Final = get_args(Outcome)

TOLD: Final = describing.TOLD

_decode: Final = codec.Decoder(WebhookIn)
_decode_rotate: Final = codec.Decoder(RotateIn)
_decode_replay: Final = codec.Decoder(ReplayIn)


async def post_webhook(request: web.Request) -> web.Response:
    """Add an endpoint."""
    principal = await unbound_of(request, ADMIN)
    given = await body_of(request, _decode)
    made = await service.create(
        request.app[RUNTIME], principal.tenant, given, principal.key_id
    )  # fmt: skip
    return json_response(made, 201, {"Location": f"{_PATH}/{made.endpoint_id}"})


async def get_webhooks(request: web.Request) -> web.Response:
    """List endpoints."""
    principal = await unbound_of(request, ADMIN)
    page = read_page(request.query, str)
    after = page.after[0] if page.after else ""
    rows = await service.listed(request.app[RUNTIME], principal.tenant, after, page.limit + 1)
    return json_response(page.answer(rows, lambda one: [one.endpoint_id], lambda one: one))


async def get_webhook(request: web.Request) -> web.Response:
    """Return an endpoint."""
    principal = await unbound_of(request, ADMIN)
    name = path_id(request, "endpoint_id")
    return json_response(await service.get(request.app[RUNTIME], principal.tenant, name))


async def put_webhook(request: web.Request) -> web.Response:
    """Change an endpoint."""
    principal = await unbound_of(request, ADMIN)
    name = path_id(request, "endpoint_id")
    given = await body_of(request, _decode)
    runtime = request.app[RUNTIME]
    return json_response(
        await service.change(runtime, principal.tenant, name, given, principal.key_id)
    )


async def delete_webhook(request: web.Request) -> web.Response:
    """Remove an endpoint."""
    principal = await unbound_of(request, ADMIN)
    await service.remove(request.app[RUNTIME], principal.tenant, path_id(request, "endpoint_id"))
    return web.Response(status=204)


async def post_enable(request: web.Request) -> web.Response:
    """Let an endpoint be told again."""
    principal = await unbound_of(request, ADMIN)
    name, runtime = path_id(request, "endpoint_id"), request.app[RUNTIME]
    return json_response(await service.enable(runtime, principal.tenant, name, principal.key_id))


async def post_disable(request: web.Request) -> web.Response:
    """Tell an endpoint nothing for now."""
    principal = await unbound_of(request, ADMIN)
    name, runtime = path_id(request, "endpoint_id"), request.app[RUNTIME]
    return json_response(await service.disable(runtime, principal.tenant, name, principal.key_id))


async def post_rotate(request: web.Request) -> web.Response:
    """Make a new secret."""
    principal = await unbound_of(request, ADMIN)
    name = path_id(request, "endpoint_id")
    given = await body_of(request, _decode_rotate)
    done = await service.rotate(
        request.app[RUNTIME], principal.tenant, name, given.overlap_seconds
    )  # fmt: skip
    return json_response(done)


async def post_test(request: web.Request) -> web.Response:
    """Send a test."""
    principal = await unbound_of(request, ADMIN)
    name = path_id(request, "endpoint_id")
    return json_response(await service.test(request.app[RUNTIME], principal.tenant, name))


async def get_deliveries(request: web.Request) -> web.Response:
    """List what was tried."""
    principal = await unbound_of(request, ADMIN)
    name, runtime = path_id(request, "endpoint_id"), request.app[RUNTIME]
    page = read_page(request.query, int)
    said = {
        "outcome": word_of(request, "outcome", _OUTCOMES),
        "message_id": query_id(request, "message_id"),
    }
    await service.get(runtime, principal.tenant, name)
    before = page.after[0] if page.after else 0
    rows = await service.attempts(runtime, name, before, said, page.limit + 1)
    return json_response(page.answer(rows, lambda one: [one.id], lambda one: one))


async def get_letters(request: web.Request) -> web.Response:
    """List what was given up."""
    principal = await unbound_of(request, ADMIN)
    name, runtime = path_id(request, "endpoint_id"), request.app[RUNTIME]
    page = read_page(request.query, int)
    group, cause = word_of(request, "group", ("cause",)), query_id(request, "cause")
    await service.get(runtime, principal.tenant, name)
    if group:
        found = await service.letter_groups(runtime, name)
        return json_response(LetterPage([], None, found))
    after = page.after[0] if page.after else 0
    rows = await service.letters(runtime, name, after, cause, page.limit + 1)
    return json_response(page.answer(rows, lambda one: [one.sequence], lambda one: one))


async def post_replay(request: web.Request) -> web.Response:
    """Send messages again."""
    principal = await unbound_of(request, ADMIN)
    name = path_id(request, "endpoint_id")
    given = await body_of(request, _decode_replay)
    done = await service.replay(request.app[RUNTIME], principal.tenant, name, given)
    return json_response(done)


@cache
def _asyncapi() -> bytes:
    return codec.encode(describing.document(version("tidegate")))


async def get_asyncapi(_request: web.Request) -> web.Response:
    """Return the AsyncAPI document; it needs no key."""
    return web.Response(body=_asyncapi(), content_type="application/json")


def routes() -> list[web.RouteDef]:
    """Return the routes of this slice."""
    return [
        web.get("/asyncapi.json", get_asyncapi),
        web.post(_PATH, post_webhook),
        web.get(_PATH, get_webhooks),
        web.get(_ONE, get_webhook),
        web.put(_ONE, put_webhook),
        web.delete(_ONE, delete_webhook),
        web.post(f"{_ONE}/enable", post_enable),
        web.post(f"{_ONE}/disable", post_disable),
        web.post(f"{_ONE}/rotate", post_rotate),
        web.post(f"{_ONE}/test", post_test),
        web.get(f"{_ONE}/deliveries", get_deliveries),
        web.get(f"{_ONE}/dead-letters", get_letters),
        web.post(f"{_ONE}/replay", post_replay),
    ]


OPERATIONS: Final[list[Operation]] = [
    operation(
        "POST",
        _PATH,
        "Tell an address what happens from now on; its secret is shown this once",
        ADMIN,
        request=WebhookIn,
        responses={201: WebhookMade},
        problems=[InConflict],
    ),
    operation("GET", _PATH, "List webhooks", ADMIN, responses={200: WebhookPage}, query=PAGED),
    operation(
        "GET", _ONE, "Read a webhook", ADMIN, responses={200: WebhookView}, problems=[NotFound]
    ),
    operation(
        "PUT",
        _ONE,
        "Change a webhook; what it was not told yet is judged by what it wants now",
        ADMIN,
        request=WebhookIn,
        responses={200: WebhookView},
        problems=[NotFound],
    ),
    operation(
        "DELETE",
        _ONE,
        "Remove a webhook and what waits for it",
        ADMIN,
        responses={204: None},
        problems=[NotFound],
    ),
    operation(
        "POST",
        f"{_ONE}/enable",
        "Tell a disabled webhook again, beginning with what it was not told",
        ADMIN,
        responses={200: WebhookView},
        problems=[NotFound],
    ),
    operation(
        "POST",
        f"{_ONE}/disable",
        "Tell a webhook nothing for now",
        ADMIN,
        responses={200: WebhookView},
        problems=[NotFound],
    ),
    operation(
        "POST",
        f"{_ONE}/rotate",
        "Make a new secret, shown this once; the former ones sign, too, for a while",
        ADMIN,
        request=RotateIn,
        responses={200: Rotated},
        problems=[NotFound],
    ),
    operation(
        "POST",
        f"{_ONE}/test",
        "Send a webhook.test now, and say what came of it",
        ADMIN,
        responses={200: TestView},
        problems=[NotFound],
    ),
    operation(
        "GET",
        f"{_ONE}/deliveries",
        "List what was tried, the newest first",
        ADMIN,
        responses={200: AttemptPage},
        query=[
            Query("outcome", f"one of {', '.join(_OUTCOMES)}"),
            Query("message_id", "only of this message"),
            *PAGED,
        ],
        problems=[NotFound],
    ),
    operation(
        "GET",
        f"{_ONE}/dead-letters",
        "List what was given up, or for which causes",
        ADMIN,
        responses={200: LetterPage},
        query=[
            Query("group", "cause: how many for each cause"),
            Query("cause", "only for this cause"),
            *PAGED,
        ],
        problems=[NotFound],
    ),
    operation(
        "POST",
        f"{_ONE}/replay",
        "Send messages again, delivered ones too, at most 10,000 a call",
        ADMIN,
        request=ReplayIn,
        responses={200: Replayed},
        problems=[NotFound],
    ),
]
