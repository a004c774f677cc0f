"""The exception desk over HTTP; a key that is bound to a channel sees and touches that alone."""

from datetime import UTC, datetime, timedelta
from typing import Final

from aiohttp import web

from engine.aftersales.api import AFTERSALES
from engine.desk import rules
from engine.desk.service import reading, remedying
from engine.desk.service.remedying import Hands
from engine.desk.types import (
    AGE_MAX_S,
    COUNT_MAX,
    Item,
    ItemPage,
    RemedyAnswer,
    RemedyIn,
    SumPage,
    Wanted,
)
from engine.infra.http.auth import Principal, principal_of, require, require_channel, unbound_of
from engine.infra.http.openapi import PAGED, Operation, Query, operation
from engine.infra.http.paging import Page, read_page
from engine.infra.http.query import refuse_query, word_of
from engine.infra.http.server import body_of, json_response, query_id, query_instant
from engine.infra.runtime import RUNTIME
from engine.kernel import codec
from engine.kernel.clock import instant
from engine.kernel.errors import IdempotencyConflict, InConflict
from engine.orders.api import ORDERS

_LIST: Final = "/v1/exceptions"
_SUMMARY: Final = "/v1/exceptions:summary"
_REMEDY: Final = "/v1/exceptions:remedy"
_READ: Final = "orders:read"
_NOTHING: Final[dict[str, object]] = {"items": [], "next_cursor": None}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TICK: Final = timedelta(microseconds=1)
_NEVER_US: Final = 1 << 53  # of what has no `ship_by`: behind all that have one
_DIGITS_MAX: Final = 9
_REPLAYED: Final = "Idempotency-Replayed"
_decode: Final = codec.Decoder(RemedyIn)


async def list_exceptions(request: web.Request) -> web.Response:
    """List what waits for a person, the most urgent first."""
    principal = await principal_of(request, _READ)
    channel = query_id(request, "channel")
    page, code = read_page(request.query, int, int, str), word_of(request, "code", rules.CODES)
    overdue = word_of(request, "overdue", ("true", "false")) == "true"
    runtime, age = request.app[RUNTIME], _min_age(request)
    now = instant(runtime.clock.now_ms())
    wanted = Wanted(
        principal.tenant, principal.channel or channel, (code,) if code else None,
        query_id(request, "sku"), overdue, now - timedelta(seconds=age) if age else None,
        query_instant(request, "ship_by_before"), after=_after(page),
    )  # fmt: skip
    if _foreign(principal, channel):
        return json_response(_NOTHING)
    rows = await reading.page(runtime, wanted, page.limit + 1)
    return json_response(page.answer(rows, _key, lambda one: rules.shown(one, now)))


async def summarise(request: web.Request) -> web.Response:
    """Say how much waits."""
    principal = await principal_of(request, _READ)
    channel, code = query_id(request, "channel"), word_of(request, "code", rules.CODES)
    if _foreign(principal, channel):
        return json_response(SumPage([]))
    channel = principal.channel or channel
    rows = await reading.summary(request.app[RUNTIME], principal.tenant, channel, code)
    return json_response(SumPage(rows))


async def post_remedy(request: web.Request) -> web.Response:
    """Say what a remedy would touch, or do it of many."""
    principal = await principal_of(request, _READ)
    asked = await body_of(request, _decode)
    _check_texts(asked)
    rules.codes_for(asked)
    scope = rules.REMEDIES[asked.remedy].scope
    require(principal, scope)
    if scope == "admin":
        await unbound_of(request, scope)
    if asked.channel:
        require_channel(principal, asked.channel)
    app = request.app
    hands = Hands(app[RUNTIME], app[ORDERS], app[AFTERSALES], principal)
    answer, again = await remedying.run(hands, asked)
    response = json_response(answer)
    if again:
        response.headers[_REPLAYED] = "true"
    return response


def _check_texts(asked: RemedyIn) -> None:
    for name, text in (
        ("channel", asked.channel), ("sku", asked.sku), ("remedy_id", asked.remedy_id)
    ):  # fmt: skip
        if text:
            codec.identifier(text, f"/{name}")
    codec.plain_text(asked.reason, "/reason", len(asked.reason))
    for n, one in enumerate(asked.ids):
        codec.plain_text(one, f"/ids/{n}", len(one))
    if asked.ship_by_before is not None:
        codec.instant(asked.ship_by_before, "/ship_by_before")


def _foreign(principal: Principal, channel: str) -> bool:
    return principal.channel != "" and channel not in {"", principal.channel}


def _min_age(request: web.Request) -> int:
    text = request.query.get("min_age", "0")
    if not (text.isascii() and text.isdecimal() and int(text[:_DIGITS_MAX]) <= AGE_MAX_S):
        refuse_query("min_age", f"must be a whole number of seconds from 0 to {AGE_MAX_S}")
    return int(text[:_DIGITS_MAX])


def _key(one: Item) -> list[object]:
    due = _NEVER_US if one.ship_by is None else (one.ship_by - _EPOCH) // _TICK
    return [due, (one.since - _EPOCH) // _TICK, one.id]


def _after(page: Page) -> tuple[datetime | None, datetime, str] | None:
    if page.after is None:
        return None
    due, since, last = page.after
    if not (0 <= due <= _NEVER_US and 0 <= since < _NEVER_US):
        refuse_query("cursor", "must be a next_cursor of this list")
    return None if due == _NEVER_US else _EPOCH + due * _TICK, _EPOCH + since * _TICK, last


def routes() -> list[web.RouteDef]:
    """Return the routes of this slice."""
    return [
        web.get(_LIST, list_exceptions),
        web.get(_SUMMARY, summarise),
        web.post(_REMEDY, post_remedy),
    ]


_CODE: Final = Query("code", f"only of this code: {', '.join(rules.CODES)}")
_CHANNEL: Final = Query("channel", "only this channel")

OPERATIONS: Final[list[Operation]] = [
    operation(
        "GET", _LIST, "List everything that waits for a person, by ship_by, then by age", _READ,
        responses={200: ItemPage},
        query=[
            _CODE, _CHANNEL,
            Query("sku", "only what is about this SKU, or an order with it"),
            Query("overdue", "only what had to leave before now", "boolean"),
            Query("min_age", "only what waits for so many seconds at least", "integer"),
            Query("ship_by_before", "only what has to leave before this instant"),
            *PAGED,
        ],
    ),
    operation(
        "GET", _SUMMARY,
        f"Say how much waits for a person, by code and channel; of a code up to {COUNT_MAX}",
        _READ, responses={200: SumPage}, query=[_CODE, _CHANNEL],
    ),
    operation(
        "POST", _REMEDY,
        "Say how many a remedy touches, or do it of many: orders:write, of retry_ack orders:sync,"
        " of retry_letter and settle_letter admin",
        _READ, request=RemedyIn, responses={200: RemedyAnswer},
        problems=[InConflict, IdempotencyConflict],
    ),
]  # fmt: skip
