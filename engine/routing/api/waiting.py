"""Orders that wait to be routed, and promises that are broken, over HTTP; no personal data."""

from datetime import UTC, datetime, timedelta
from typing import Final, get_args

from aiohttp import web

from engine.infra.http.auth import principal_of, require_channel
from engine.infra.http.openapi import PAGED, Operation, Query, operation
from engine.infra.http.paging import read_page
from engine.infra.http.query import refuse_query, word_of
from engine.infra.http.server import body_of, json_response, path_id, query_id
from engine.infra.runtime import RUNTIME
from engine.kernel import codec
from engine.kernel.clock import instant, rfc3339, to_ms
from engine.kernel.errors import InConflict, NotFound
from engine.kernel.ids import line_id
from engine.routing.service import waiting as service
from engine.routing.service.waiting import Again
from engine.routing.types.queue import Queue
from engine.routing.types.waiting import (
    Broken,
    BrokenPage,
    BrokenView,
    Queued,
    QueuedView,
    QueuePage,
    RetryIn,
    RetryView,
    Waiting,
)

AGE_MAX_S: Final = 10 * 365 * 86_400
_QUEUE: Final = "/v1/routing-queue"
_QUEUES: Final = get_args(Queue)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TICK: Final = timedelta(microseconds=1)
_DIGITS_MAX: Final = 9
_LATEST_US: Final = 1 << 52
_decode: Final = codec.Decoder(RetryIn)

OPERATIONS: Final[list[Operation]] = [
    operation(
        "GET", _QUEUE, "List orders that wait to be routed, or for a person, the longest first",
        "orders:read", responses={200: QueuePage},
        query=[
            Query("queue", f"one of {', '.join(_QUEUES)}"),
            Query("age_over", "only those that are in their queue for more than so many seconds"),
            Query("channel", "only this channel"),
            *PAGED,
        ],
    ),
    operation(
        "POST", f"{_QUEUE}/{{order_id}}/retry",
        "Have an order routed again, from a node that a person chooses, if one is named",
        "orders:write", request=RetryIn, responses={200: RetryView},
        problems=[NotFound, InConflict],
    ),
    operation(
        "GET", "/v1/broken-promises", "List units that were sold and that no node can send now",
        "orders:read", responses={200: BrokenPage},
        query=[Query("channel", "only this channel"), *PAGED],
    ),
]  # fmt: skip


def routes() -> list[web.RouteDef]:
    """Return the routes of what waits."""
    return [
        web.get(_QUEUE, _list),
        web.post(f"{_QUEUE}/{{order_id}}/retry", _retry),
        web.get("/v1/broken-promises", _broken),
    ]


async def _list(request: web.Request) -> web.Response:
    principal = await principal_of(request, "orders:read")
    channel = query_id(request, "channel") or principal.channel
    require_channel(principal, channel, reading=True)
    page = read_page(request.query, int, str)
    runtime = request.app[RUNTIME]
    now = instant(runtime.clock.now_ms())
    before = now - timedelta(seconds=_age_over(request))
    after = None
    if page.after:
        if not 0 <= page.after[0] < _LATEST_US:
            refuse_query("cursor", "must be a next_cursor of this list")
        after = _EPOCH + page.after[0] * _TICK, page.after[1]
    wanted = Waiting(
        principal.tenant, channel, word_of(request, "queue", _QUEUES), before, after,
        page.limit + 1,
    )  # fmt: skip
    rows = await service.queued(runtime.pool, wanted)
    return json_response(
        page.answer(
            rows,
            lambda one: [(one.since - _EPOCH) // _TICK, one.order_id],
            lambda one: _queued(one, now),
        )
    )


async def _retry(request: web.Request) -> web.Response:
    principal = await principal_of(request, "orders:write")
    order_id = path_id(request, "order_id")
    told = await body_of(request, _decode)
    node = "" if told.node is None else codec.identifier(told.node, "/node")
    wanted = Again(order_id, principal.channel, node, principal.key_id)
    await service.retry(request.app[RUNTIME], principal.tenant, wanted)
    return json_response(RetryView(order_id, "NEW", node))


async def _broken(request: web.Request) -> web.Response:
    principal = await principal_of(request, "orders:read")
    channel = query_id(request, "channel") or principal.channel
    require_channel(principal, channel, reading=True)
    page = read_page(request.query, str, int)
    order_id, line_no = page.after or ("", 0)
    if not -1 < line_no < 1 << 31:
        refuse_query("cursor", "must be a next_cursor of this list")
    pool = request.app[RUNTIME].pool
    rows = await service.broken(
        pool, principal.tenant, channel, (order_id, line_no), page.limit + 1
    )
    return json_response(page.answer(rows, lambda one: [one.order_id, one.line_no], _broken_view))


def _age_over(request: web.Request) -> int:
    text = request.query.get("age_over", "0")
    if not (text.isascii() and text.isdecimal() and int(text[:_DIGITS_MAX]) <= AGE_MAX_S):
        refuse_query("age_over", f"must be a whole number of seconds from 0 to {AGE_MAX_S}")
    return int(text[:_DIGITS_MAX])


def _queued(one: Queued, now: datetime) -> QueuedView:
    age = max(0, int((now - one.since).total_seconds()))
    return QueuedView(
        one.order_id, one.channel, one.queue, one.reason, _moment(one.since), age, one.alarm,
        None if one.due_at is None else _moment(one.due_at), one.hops, one.waits_for, one.node,
    )  # fmt: skip


def _broken_view(one: Broken) -> BrokenView:
    return BrokenView(
        one.order_id, one.channel, line_id(one.order_id, one.line_no), one.sku, one.node_group,
        one.units, one.reason, _moment(one.since),
    )  # fmt: skip


def _moment(at: datetime) -> str:
    return rfc3339(to_ms(at))
