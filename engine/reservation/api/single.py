"""`POST /v1/orders`: the one call of a flash sale, and the parts that a batch shares with it."""

import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from time import monotonic
from typing import Final

import msgspec
from aiohttp import web

from engine.catalogue.registry import BUNDLES
from engine.channels.registry import Registry
from engine.infra import metrics
from engine.infra.http import fast, rates
from engine.infra.http.auth import Principal, caller, require_channel
from engine.infra.http.fast import Answer
from engine.infra.http.openapi import Operation, operation
from engine.infra.http.request import Request
from engine.infra.http.server import raw_body
from engine.infra.http.tracing import carried
from engine.infra.postgres import UNAVAILABLE
from engine.infra.runtime import RUNTIME
from engine.kernel import codec, limits
from engine.kernel.clock import rfc3339
from engine.kernel.errors import (
    Closed,
    DeadlinePassed,
    Ended,
    EngineError,
    IdempotencyConflict,
    InConflict,
    LimitReached,
    NotStarted,
    OutcomeUnknown,
    Overloaded,
    Paused,
    PayloadTooLarge,
    RateLimited,
    SoldOut,
    UnknownSku,
    ValidationFailed,
    WrongCall,
)
from engine.kernel.ids import line_id
from engine.kernel.types import Fault
from engine.reservation import bundles, rules, stages
from engine.reservation.facts import payload_of
from engine.reservation.recorded import Recorded
from engine.reservation.service import Reservations
from engine.reservation.stages import StageView
from engine.reservation.types import PENDING, Claim, Held, OrderIn, PaymentClaim, decode_order

RESERVATIONS: Final = web.AppKey("reservations", Reservations)
REGISTRY: Final = web.AppKey("channel_registry", Registry)
RECORDED: Final = web.AppKey("recorded", Recorded)

# What Postgres remembers of an order: its hold and its present status, None when it has none.
Recall = Callable[[Claim], Awaitable[tuple[Held, str] | None]]
RECALL: Final[web.AppKey[Recall]] = web.AppKey("recall")

DEADLINE: Final = "Tidegate-Deadline-Ms"
_WITHIN_MS: Final = re.compile(r"[1-9][0-9]{0,6}")
_WAIT: Final = re.compile(r"(?:^|[,;\s])wait=(\d{1,4})(?:$|[,;\s])")
_STATUS: Final = {"P": "pending_payment", "C": "paid", "R": "cancelled", "E": "expired"}
_SCOPE: Final = "orders:write"
_encode: Final = msgspec.json.Encoder().encode
_reserved: Final = metrics.ORDERS.of("gate", "reserved")
_repeated: Final = metrics.ORDERS.of("gate", "repeated")
_refused: Final[dict[str, list[int]]] = {}  # by code


class AcceptedComponent(codec.Answer, frozen=True):
    """A component that is held for a bundle's line: all units of it."""

    line_id: str
    sku: str
    quantity: int


class AcceptedLine(codec.Answer, frozen=True):
    """A line of an accepted order; `quantity` 0 means it was dropped, as its on_short asked.

    A bundle has `components`: what it stood for when the order came.
    """

    line_id: str
    sku: str
    quantity: int
    components: list[AcceptedComponent] | msgspec.UnsetType = msgspec.UNSET


class Accepted(codec.Answer, frozen=True):
    """An accepted order; `pay_by` null means that nothing must be paid by then.

    `stages` are there when it is paid in stages: the first amount is due by `pay_by`.
    """

    order_id: str
    status: str
    pay_by: str | None
    payable: codec.Money
    lines: list[AcceptedLine]
    stages: list[StageView] | msgspec.UnsetType = msgspec.UNSET


async def post_order(request: web.Request) -> web.Response:
    """Answer an order that came the ordinary way."""
    return fast.respond(await order(request.app, request))


async def order(app: web.Application, request: Request) -> Answer:
    """Hold stock for an order; 202, because Postgres learns of it a moment later."""
    headers = request.headers
    try:
        by = deadline_of(headers) if DEADLINE in headers else None
        principal = await caller(app, request, _SCOPE)
        raw = await raw_body(request, limits.ORDER_BYTES_MAX)
        trace = carried(request)
        claim, payload = await claim_of(app, principal, raw, trace)
        try:
            held, word = await _reserve(app, claim, payload, by)
        except UnknownSku:
            again = await with_new_bundles(app, principal, raw, trace, claim)
            if again is None:
                raise
            claim, payload = again
            held, word = await _reserve(app, claim, payload, by)
    except EngineError as refusal:
        count(refusal)
        raise
    count(held)
    if held.repeated:
        claim = await as_accepted(app, claim, held)
    recorded = False
    if not held.repeated and "Prefer" in headers:
        recorded = await _wait(app, headers["Prefer"], held)
    status = 200 if held.repeated else 201 if recorded else 202
    own = _headers(claim, held, app[RUNTIME].settings.durability, headers.get("Idempotency-Key"))
    return Answer(status, own, _encode(accepted(claim, held, word)))


def count(outcome: Held | EngineError) -> None:
    """Count what was answered of an order."""
    if isinstance(outcome, Held):
        (_repeated if outcome.repeated else _reserved)[0] += 1
    else:
        place = _refused.get(outcome.code)
        if place is None:
            place = _refused[outcome.code] = metrics.ORDERS.of("gate", outcome.code)
        place[0] += 1


async def _reserve(
    app: web.Application, claim: Claim, payload: bytes, by: float | None
) -> tuple[Held, str]:
    """Ask the cell; of what is long past, and of what came after a hold, Postgres knows more.

    An ended campaign's orders leave the cell some days later, and so does an order that says it
    was placed long ago: both are looked up before they are refused or taken a second time.
    """
    if is_old(app, claim) and (known := await app[RECALL](claim)) is not None:
        return known
    try:
        held = await app[RESERVATIONS].reserve(claim, payload, by)
    except Ended as refusal:
        return await recalled(app, claim, refusal)
    return held, await word_of(app, claim, held)


async def with_new_bundles(
    app: web.Application,
    principal: Principal,
    raw: bytes,
    trace: str,
    claim: Claim,
    asked_at: float | None = None,
) -> tuple[Claim, bytes] | None:
    """Return the claim of an order whose SKU is not on sale, if it is a bundle by now."""
    await app[BUNDLES].fresh(asked_at)
    again, payload = await claim_of(app, principal, raw, trace, asked_at)
    return None if again.lines == claim.lines else (again, payload)


async def as_accepted(app: web.Application, claim: Claim, held: Held) -> Claim:
    """Return a repeated claim with the components that it was accepted with, for its answer.

    Raises:
        OutcomeUnknown: the cell, which knows them, does not answer.
    """
    parts = held.parts
    if held.bundled:
        hold = await app[RESERVATIONS].hold(claim.order_id)
        parts = [] if hold is None else bundles.parts_of(hold.lines)
    if not parts and not bundles.have_parts(claim.lines):
        return claim
    return claim._replace(lines=bundles.as_accepted(claim.lines, parts or []))


def deadline_of(headers: Mapping[str, str]) -> float:
    """Return until when a client that says so waits for its answer (monotonic seconds).

    Raises:
        ValidationFailed: what it says is no such time.
    """
    given = headers[DEADLINE]
    if not _WITHIN_MS.fullmatch(given):
        told = f"{DEADLINE}: must be a whole number of milliseconds, 1 to 9999999"
        raise ValidationFailed([Fault("", told)])
    return monotonic() + int(given) / 1_000


def is_old(app: web.Application, claim: Claim) -> bool:
    """Whether the cell may have forgotten an order of that age."""
    return app[RUNTIME].clock.now_ms() - claim.placed_at > limits.IDEMPOTENCY_KEEP_MS


async def recalled(app: web.Application, claim: Claim, refusal: EngineError) -> tuple[Held, str]:
    """Return an order as Postgres has it.

    Raises:
        EngineError: the refusal, when it has none.
    """
    known = await app[RECALL](claim)
    if known is None:
        raise refusal
    return known


async def word_of(app: web.Application, claim: Claim, held: Held) -> str:
    """Return the present status of an accepted order; one that came before may have gone on."""
    if not held.repeated:
        return _STATUS[held.state]
    if claim.payment and not _is_paid_already(held, claim):
        # the same order again, now paid: the payment is booked as if it had come by its own call
        paid = await app[RESERVATIONS].confirm(PaymentClaim(claim.order_id, *claim.payment))
        if paid.outcome == "applied":
            held = msgspec.structs.replace(held, state="C")
    word = _STATUS[held.state]
    if held.state != PENDING:
        with suppress(*UNAVAILABLE):  # the cell's own word will do while Postgres is away
            known = await app[RECALL](claim)
            if known is not None and not _is_behind(*known, held):
                word = known[1]
    return word


def _is_paid_already(held: Held, claim: Claim) -> bool:
    """Whether "paid" only says again what is known: it names no payment of its own."""
    return held.state == "C" and claim.payment[:1] == (rules.POSTED_PAYMENT,)


def _is_behind(recorded: Held, word: str, held: Held) -> bool:
    """Whether the recorder has yet to learn what became of a hold that is pending no more."""
    paid_after_expiry = word == "expired" and held.state == "C"
    return recorded.state == PENDING or paid_after_expiry


async def claim_of(
    app: web.Application,
    principal: Principal,
    raw: bytes,
    trace: str,
    asked_at: float | None = None,
) -> tuple[Claim, bytes]:
    """Decode and check a body; return what the cell is asked, and what the recorder is told.

    `trace` is the traceparent of the request, or ""; `asked_at` when the request came (monotonic
    seconds), for one with many orders.

    Raises:
        ValidationFailed: which field, and what is accepted there.
        WrongCall: the channel's orders come by orders:sync.
        RateLimited: this buyer sent too many in the last minute.
    """
    order = decode_order(raw)
    kept = codec.storable(raw, order.extensions)
    require_channel(principal, order.channel)
    await _require_gate(app[REGISTRY], principal.tenant, order, asked_at)
    process = app[RUNTIME]
    claim = rules.claim_of(
        order,
        tenant=principal.tenant,
        actor=principal.key_id,
        now_ms=process.clock.now_ms(),
        known=app[BUNDLES].of(principal.tenant),
    )
    per_minute = process.settings.buyer_orders_per_minute
    if per_minute and claim.buyer:
        rates.require_buyer(
            app[rates.BUYERS], principal.tenant, claim.buyer, rates.per_minute(per_minute)
        )
    return claim, payload_of(order, claim, kept, trace)


async def _require_gate(
    registry: Registry, tenant: str, order: OrderIn, asked_at: float | None
) -> None:
    authority = registry.known(tenant, order.channel)
    if authority == "gate":
        return
    if authority is None:
        authority = await registry.authority(tenant, order.channel, asked_at)
    if authority is None:
        codec.refuse("/channel", "there is no such channel: make it by PUT /v1/channels/{channel}")
    if authority != "gate":
        raise WrongCall(f"orders of {authority} channels come by POST /v1/orders:sync")


def accepted(claim: Claim, held: Held, status: str) -> Accepted:
    """Return the answer to an accepted claim, first or repeated."""
    if bundles.have_parts(claim.lines):
        lines = _with_components(claim, held)
    else:
        lines = [
            AcceptedLine(line_id(claim.order_id, n), line[0], 0 if n in held.dropped else line[1])
            for n, line in enumerate(claim.lines, start=1)
        ]
    return Accepted(
        claim.order_id,
        status,
        rfc3339(held.pay_by) if held.pay_by else None,
        codec.Money(held.total, claim.currency),
        lines,
        stages.shown(held.stages, claim.currency) if held.stages else msgspec.UNSET,
    )


def _with_components(claim: Claim, held: Held) -> list[AcceptedLine]:
    parts: dict[int, list[AcceptedComponent]] = {}
    for part in bundles.parts_of(claim.lines):
        units = claim.lines[part.line_no - 1][1]
        one = AcceptedComponent(line_id(claim.order_id, part.line_no), part.sku, units)
        parts.setdefault(part.of, []).append(one)
    return [
        AcceptedLine(
            line_id(claim.order_id, n), line[0], 0 if n in held.dropped else line[1],
            parts.get(n, msgspec.UNSET),
        )
        for n, line in enumerate(claim.lines, start=1)
        if "*" not in line[3]
    ]  # fmt: skip


def _headers(claim: Claim, held: Held, durability: str, key: str | None) -> dict[str, str]:
    """Return the answer's own headers; an Idempotency-Key is echoed and is no second identity."""
    headers = {"Location": f"/v1/orders/{claim.order_id}", "Tidegate-Durability": durability}
    if held.repeated:
        headers["Idempotency-Replayed"] = "true"
    if key and len(key) <= limits.IDENTIFIER_LENGTH_MAX and key.isascii() and key.isprintable():
        headers["Idempotency-Key"] = key
    return headers


async def _wait(app: web.Application, prefer: str, held: Held) -> bool:
    found = _WAIT.search(prefer)
    if found is None:
        return False
    try:
        seconds = min(int(found[1]), limits.WAIT_SECONDS_MAX)
        return await app[RECORDED].wait(held.log_id, seconds)
    except Overloaded:
        return False  # the order is accepted: not being able to wait changes nothing about it


def routes() -> list[web.RouteDef]:
    """Return the routes of this slice."""
    return [web.post("/v1/orders", post_order)]


OPERATIONS: Final[list[Operation]] = [
    operation(
        "POST",
        "/v1/orders",
        "Place an order of a gate channel",
        _SCOPE,
        request=OrderIn,
        responses={202: Accepted, 201: Accepted, 200: Accepted},
        problems=[
            SoldOut, LimitReached, NotStarted, Ended, Paused, InConflict, IdempotencyConflict,
            UnknownSku, WrongCall, PayloadTooLarge, RateLimited, Overloaded, Closed, OutcomeUnknown,
            DeadlinePassed,
        ],
        headers=["Idempotency-Key", "Prefer", DEADLINE],
    ),
]  # fmt: skip
