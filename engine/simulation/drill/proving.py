"""What must hold after every drill, whatever its load and its fault were."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from redis.asyncio import Redis

from engine.assurance import rules
from engine.assurance.verify import certify
from engine.infra import preflight
from engine.infra.cell import Cell
from engine.infra.postgres import Pool
from engine.kernel import codec
from engine.kernel.clock import Clock
from engine.kernel.errors import EngineError
from engine.kernel.types import CellId
from engine.settings import Settings
from engine.simulation.drill import plan as plans
from engine.simulation.drill.statements import SQL
from engine.simulation.drill.summary import Invariant
from engine.simulation.drill.told import TOLD_MAX, Told
from engine.simulation.http import NO_ANSWER, Answer, LoadClient

HOLDS: Final = "certificate: holds"

_CERTIFIED_WITHIN_S: Final = 60.0
_REPLAYED_MAX: Final = 100
_COME_BACK: Final = {NO_ANSWER, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
_TRIES: Final = 20
_TRY_EVERY_S: Final = 0.25

Orders = Mapping[tuple[str, str], Any]
Document = Callable[[int], bytes]


async def certificate(
    redis: Redis, pool: Pool, settings: Settings, clock: Clock
) -> tuple[str, int]:
    """Return the certificate's words, and the units that were oversold."""
    try:
        one = Cell(redis, CellId(settings.cell), clock)
        found = await certify(one, pool, clock, within_s=_CERTIFIED_WITHIN_S)
    except EngineError as error:
        return f"no certificate: {error.detail}", 0
    return rules.verdict(found), found.oversold_by_us


async def on_disk(redis: Redis, settings: Settings) -> Invariant:
    """Return whether the cell's server is set as the durability profile promises.

    WAITAOF would say nothing: without a replica Valkey 9.1 answers it before it has synced.
    """
    wrong = await preflight.check_valkey(redis, settings.durability)
    told = " ".join(one.sentence for one in wrong) or f"set for durability {settings.durability}"
    return Invariant("the cell's server syncs as promised", not wrong, told)


async def compare(pool: Pool, told: Told, mark: str, units: Mapping[str, int]) -> list[Invariant]:
    """Return what buyers were told against what is recorded."""
    campaign = plans.campaign(mark)
    rows = await pool.fetch(SQL["recorded_orders"], campaign, timeout=_CERTIFIED_WITHIN_S)
    orders = {(row["channel"], row["channel_order_id"]): row for row in rows}
    payments = {
        row["order_id"]
        for row in await pool.fetch(SQL["recorded_payments"], campaign, timeout=_CERTIFIED_WITHIN_S)
    }
    sold = await pool.fetch(SQL["sold_units"], campaign, timeout=_CERTIFIED_WITHIN_S)
    return [
        recorded(told, orders, mark),
        never_recorded(told, orders, mark),
        _shelf(
            {row["sku"]: row["units"] for row in sold if row["channel"] == plans.CHANNEL}, units
        ),
        _few("payments are recorded", sorted(told.paid - payments), len(told.paid)),
        _few("repeats are answered alike", told.differs, len(told.taken)),
        newest(told, orders, mark),
    ]


def recorded(told: Told, orders: Orders, mark: str) -> Invariant:
    """Return whether every accepted order is there once, under the id that its buyer was told."""
    wrong = []
    for n, order_id in told.taken.items():
        row = orders.get((plans.CHANNEL, plans.number(mark, n)))
        if row is None:
            wrong.append(f"{plans.number(mark, n)} is lost")
        elif row["order_id"] != order_id:
            wrong.append(f"{plans.number(mark, n)} is {row['order_id']}, told was {order_id}")
    ids = {row["order_id"] for row in orders.values()}
    if len(ids) != len(orders):
        wrong.append(f"{len(orders) - len(ids)} orders share their id")
    return _few("accepted orders are recorded once", wrong, len(told.taken))


def never_recorded(told: Told, orders: Orders, mark: str) -> Invariant:
    """Return whether no order is there whose buyer was told for certain that nothing was taken."""
    wrong = [
        f"{plans.number(mark, n)} was refused ({code}) and is recorded"
        for n, code in told.refused.items()
        if (plans.CHANNEL, plans.number(mark, n)) in orders
    ]
    return _few("refused orders are not recorded", wrong, len(told.refused))


def newest(told: Told, orders: Orders, mark: str) -> Invariant:
    """Return whether each order of a marketplace stands at its newest version, and is paid."""
    wrong, by_number = [], {number: row for (_, number), row in orders.items()}
    for n in told.synced:
        number = plans.market_number(mark, n)
        row = by_number.get(number)
        if row is None:
            wrong.append(f"{number} is lost")
        elif (row["version"], row["payment_state"]) != (plans.NEWEST, "paid"):
            wrong.append(f"{number} stands at version {row['version']}, {row['payment_state']}")
    return _few("marketplaces' newest versions stand", wrong, len(told.synced))


async def replayed(client: LoadClient, told: Told, document: Document) -> Invariant:
    """Send a sample of the accepted orders again: each must be known, under the same id."""
    numbers = list(told.taken)
    sample = numbers[:: max(1, len(numbers) // _REPLAYED_MAX)][-_REPLAYED_MAX:]
    wrong = []
    for n in sample:
        answer = await _insist(client, client.compose("POST", "/v1/orders", document(n)))
        found = codec.decode_json(answer.body).get("order_id") if answer.body else None
        if (answer.status, found) != (HTTPStatus.OK, told.taken[n]):
            wrong.append(f"{n} got {answer.status} {found}, was {told.taken[n]}")
    return _few("a replay is the same order", wrong, len(sample))


async def _insist(client: LoadClient, raw: bytes) -> Answer:
    for _try in range(_TRIES):
        answer = await client.request(raw)
        if answer.status not in _COME_BACK:
            return answer
        await asyncio.sleep(_TRY_EVERY_S)
    return Answer(NO_ANSWER, b"", 0.0)


def _shelf(sold: Mapping[str, int], units: Mapping[str, int]) -> Invariant:
    """Return whether of no SKU more is sold than was for sale, by the drill's own books."""
    wrong = [
        f"{count} of {sku} are sold, {units.get(sku, 0)} were for sale"
        for sku, count in sold.items()
        if count > units.get(sku, 0)
    ]
    return _few("nothing is sold twice", wrong, sum(sold.values()), "units")


def _few(name: str, wrong: Sequence[str], of: int, what: str = "compared") -> Invariant:
    if not wrong:
        return Invariant(name, met=True, told=f"{of:,} {what}")
    shown = "; ".join(wrong[:TOLD_MAX])
    return Invariant(name, met=False, told=f"{len(wrong)} wrong of {of:,}: {shown}")
