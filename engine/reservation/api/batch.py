"""`POST /v1/orders:batch`: many orders in one request, each judged and answered by itself."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Final, NamedTuple

import msgspec
from aiohttp import web

from engine.infra import metrics
from engine.infra.http import items
from engine.infra.http.auth import principal_of
from engine.infra.http.openapi import Operation, operation
from engine.infra.http.server import raw_body
from engine.infra.http.tracing import carried
from engine.infra.postgres import UNAVAILABLE
from engine.infra.runtime import RUNTIME
from engine.kernel import codec
from engine.kernel.errors import Ended, EngineError, Overloaded, PayloadTooLarge, UnknownSku
from engine.kernel.limits import ORDER_BYTES_MAX, ORDERS_PER_BATCH_MAX
from engine.reservation.api import single
from engine.reservation.api.single import RECALL, RESERVATIONS, Accepted
from engine.reservation.types import Claim, Held, OrderIn

_SCOPE: Final = "orders:write"


class OrdersIn(codec.Wire, frozen=True):
    """Orders as for the single call."""

    orders: Annotated[list[OrderIn], msgspec.Meta(min_length=1, max_length=ORDERS_PER_BATCH_MAX)]


class Placing(codec.Answer, frozen=True):
    """One order of a batch: `status` and `order` are what the single call would answer.

    A refused one has the members of its problem document instead of `order`.
    """

    status: int
    order: Accepted | msgspec.UnsetType = msgspec.UNSET
    code: str | msgspec.UnsetType = msgspec.UNSET
    detail: str | msgspec.UnsetType = msgspec.UNSET


class Placings(codec.Answer, frozen=True):
    """One result an order, in their order."""

    results: list[Placing]


class _Asked(NamedTuple):
    claim: Claim
    payload: bytes
    raw: bytes


async def post_orders(request: web.Request) -> web.Response:
    """Hold stock for many orders; a bad one never spoils its neighbours."""
    asked_at = request.app[RUNTIME].clock.monotonic()
    principal = await principal_of(request, _SCOPE)
    raws = items.cut(await raw_body(request))
    trace = carried(request)

    async def decode(raw: bytes) -> _Asked:
        if len(raw) > ORDER_BYTES_MAX:
            raise PayloadTooLarge(f"an order has at most {ORDER_BYTES_MAX} bytes")
        return _Asked(*await single.claim_of(request.app, principal, raw, trace, asked_at), raw)

    async def decode_again(one: _Asked) -> _Asked | None:
        again = await single.with_new_bundles(
            request.app,
            principal,
            one.raw,
            trace,
            one.claim,
            request.app[RUNTIME].clock.monotonic(),
        )
        return None if again is None else _Asked(*again, one.raw)

    headers = request.headers
    by = single.deadline_of(headers) if single.DEADLINE in headers else None
    asked = await items.decoded(raws, decode)
    items.require_lines(sum(len(one.claim.lines) for one in asked if isinstance(one, _Asked)))
    return items.answer(await _place(request.app, asked, decode_again, by))


async def _place(
    app: web.Application,
    asked: Sequence[_Asked | EngineError],
    again: Callable[[_Asked], Awaitable[_Asked | None]],
    by: float | None,
) -> list[dict[str, object] | EngineError]:
    """Answer each, in order; all that the cell is asked goes there together."""
    answers: dict[int, dict[str, object] | EngineError] = {}
    fresh: dict[int, _Asked] = {}
    for n, one in enumerate(asked):
        found = one if isinstance(one, EngineError) else await _long_ago(app, one.claim)
        if found is None:
            assert isinstance(one, _Asked), "what was refused is an answer"
            fresh[n] = one
        else:
            answers[n] = found
    outcomes = await _ask(app, fresh, by)
    if any(isinstance(outcome, UnknownSku) for outcome in outcomes.values()):
        outcomes |= await _ask_again(app, fresh, outcomes, again)
    for n, one in fresh.items():
        outcome = outcomes[n]
        try:
            answers[n] = await _answer(app, one.claim, outcome)
        except EngineError as refusal:
            answers[n] = refusal
        except UNAVAILABLE:
            answers[n] = Overloaded("what became of it cannot be looked up now: send it again")
    _count(answers.values())
    return [answers[n] for n in range(len(asked))]


def _count(answers: Iterable[dict[str, object] | EngineError]) -> None:
    for one in answers:
        if isinstance(one, EngineError):
            metrics.ORDERS.add(("gate", one.code))
        else:
            metrics.ORDERS.add(
                ("gate", "repeated" if one["status"] == HTTPStatus.OK else "reserved")
            )


async def _ask(
    app: web.Application, fresh: Mapping[int, _Asked], by: float | None = None
) -> dict[int, Held | EngineError]:
    outcomes = await app[RESERVATIONS].reserve_all(
        [one.claim for one in fresh.values()], [one.payload for one in fresh.values()], by
    )
    return dict(zip(fresh, outcomes, strict=True))


async def _ask_again(
    app: web.Application,
    fresh: dict[int, _Asked],
    outcomes: Mapping[int, Held | EngineError],
    again: Callable[[_Asked], Awaitable[_Asked | None]],
) -> dict[int, Held | EngineError]:
    """Ask for those whose SKU was not on sale and is a bundle since a moment ago."""
    found: dict[int, _Asked] = {}
    refused: dict[int, Held | EngineError] = {}
    for n, outcome in outcomes.items():
        if isinstance(outcome, UnknownSku):
            try:
                one = await again(fresh[n])
            except EngineError as refusal:
                refused[n] = refusal
            else:
                if one is not None:
                    found[n] = fresh[n] = one
    return refused | (await _ask(app, found) if found else {})


async def _long_ago(app: web.Application, claim: Claim) -> dict[str, object] | EngineError | None:
    """Return what Postgres knows of an order of that age, None for one to ask the cell about."""
    if not single.is_old(app, claim):
        return None
    try:
        known = await app[RECALL](claim)
    except EngineError as refusal:
        return refusal
    except UNAVAILABLE:
        return Overloaded("an order of that age cannot be looked up now; nothing was done")
    if known is None:
        return None
    return _told(await single.as_accepted(app, claim, known[0]), *known)


async def _answer(
    app: web.Application, claim: Claim, outcome: Held | EngineError
) -> dict[str, object] | EngineError:
    if isinstance(outcome, Ended):
        held, word = await single.recalled(app, claim, outcome)
        return _told(await single.as_accepted(app, claim, held), held, word)
    if isinstance(outcome, EngineError):
        return outcome
    word = await single.word_of(app, claim, outcome)
    if outcome.repeated:
        claim = await single.as_accepted(app, claim, outcome)
    return _told(claim, outcome, word)


def _told(claim: Claim, held: Held, word: str) -> dict[str, object]:
    status = HTTPStatus.OK if held.repeated else HTTPStatus.ACCEPTED
    return {"status": int(status), "order": single.accepted(claim, held, word)}


def routes() -> list[web.RouteDef]:
    """Return the routes of this module."""
    return [web.post("/v1/orders:batch", post_orders)]


OPERATIONS: Final[list[Operation]] = [
    operation(
        "POST",
        "/v1/orders:batch",
        "Place many orders of gate channels",
        _SCOPE,
        request=OrdersIn,
        responses={200: Placings},
        problems=[PayloadTooLarge],
        headers=[single.DEADLINE],
    ),
]
