"""A judged order to a row of the queue: what is decided of, and when it is due; pure.

Neither a name, a phone nor a street is in it: a region, and a digest of whose door it is.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, get_args
from zoneinfo import ZoneInfo

from engine.catalogue.types import Carried
from engine.kernel import clock, codec
from engine.kernel.expressions.schemas import LINES_MAX, ORDER_SCHEMA, TAGS_MAX, UNITS_MAX
from engine.kernel.expressions.types import INT_MAX
from engine.kernel.limits import AMOUNT_MAX, IDENTIFIER_LENGTH_MAX
from engine.places.rules.regions import Regions
from engine.review.types.judging import NEVER, Demand
from engine.review.types.recorded import Judged, Recorded, RecordedLine
from engine.routing.types.core import Line, Mode, Order
from engine.routing.types.queue import Queue, Row
from engine.shipments.rules.merging import Door, address_of, merge_hash

_ZONE: Final = ZoneInfo("Asia/Shanghai")
_UNKNOWN: Final = Carried()
_PICKUP: Final = "pickup"
_DIGITS: Final = 3  # of degrees
_MODES: Final[tuple[str, ...]] = get_args(Mode)
_PRIORITY_MAX: Final = 1_000_000
# Inner Mongolia, Tibet, Gansu, Qinghai, Ningxia, Xinjiang: where carriers' cards as a rule ask more
# and take longer. A plan that means other ones asks for `province`.
_REMOTE: Final = frozenset({"15", "54", "62", "63", "64", "65"})


class World(NamedTuple):
    """What is read beside orders: SKUs, regions, and per order what nodes refused.

    `excluded` is as `Order.excluded`, `hops` how often a node refused something of an order.
    """

    carried: Mapping[str, Carried]
    regions: Regions
    excluded: Mapping[str, tuple[tuple[int, str, int], ...]]
    hops: Mapping[str, int]


def row(judged: Judged, world: World, tenant: str, now_ms: int, alarm_s: int) -> Row:
    """Return the row of an order that is ready, waits or is blocked.

    What waits for an instant is due then; what a person has to let go is due at no time.
    """
    verdict, now = judged.verdict, clock.instant(now_ms)
    due: datetime | None = now
    if verdict.kind != "ready":
        due = None if verdict.until == NEVER else clock.instant(verdict.until)
    order = order_of(judged.order, world, tenant)
    queue: Queue = verdict.queue or "NEW"
    return Row(
        queue, order, judged.order.row_version, verdict.code, due,
        (due or now) + timedelta(seconds=alarm_s), order.ship_by or order.paid_at,
    )  # fmt: skip


def order_of(one: Recorded, world: World, tenant: str) -> Order:
    """Return an order as it is decided."""
    document, ship_to, subject = one.document, one.ship_to, one.subject
    promise, more = _member(document, "promise"), _member(document, "extensions")
    tier = _text(promise, "tier")
    mode: Mode = tier if tier in _MODES else "ship"  # type: ignore[assignment]  # it is one of them
    region = _text(ship_to, "region_code") or world.regions.find(
        _text(ship_to, "province"), _text(ship_to, "city")
    )
    by_number = {line.line_no: line for line in one.lines}
    lines = tuple(_line(need, one, by_number, world, mode) for need in subject.demand)
    carriers = _member(more, "carriers")
    on_delivery = subject.payment_state == "on_delivery"
    cod = min(one.payable, AMOUNT_MAX) if on_delivery else 0
    paid_at = subject.paid_at or subject.placed_at
    insured = min(_number(more.get("insured")), AMOUNT_MAX)
    priority = min(_number(more.get("priority")), _PRIORITY_MAX)
    hops = world.hops.get(subject.order_id, 0)
    found = [world.carried.get(line.sku, _UNKNOWN) for line in lines]
    at = datetime.fromtimestamp(paid_at / 1_000, _ZONE)
    owners = {known.owner for known in found}
    owner = next(iter(owners)) if len(owners) == 1 else ""
    facts = ORDER_SCHEMA.facts(
        {
            "channel": one.channel[:IDENTIFIER_LENGTH_MAX],
            "campaign": _text(document, "campaign"),
            "order_kind": _text(document, "kind") or "sale",
            "tier": tier,
            "priority": priority,
            "total": min(one.payable, AMOUNT_MAX),
            "units": min(sum(line.units for line in lines), UNITS_MAX),
            "lines": min(len({line.line_no for line in lines}), LINES_MAX),
            "grams": min(sum(line.grams for line in lines), INT_MAX),
            "cm3": min(sum(line.cm3 for line in lines), INT_MAX),
            "region": region,
            "province": region[:2],
            "tags": sorted({*_texts(document, "tags"), *(t for one in lines for t in one.tags)})[
                :TAGS_MAX
            ],
            "buyer_tier": _text(more, "buyer_tier"),
            "cod": cod,
            "insured": insured,
            "fulfil_mode": mode,
            "hour": at.hour,
            "weekday": at.isoweekday(),
            "has_note": bool(_text(document, "buyer_note") or _text(document, "seller_note")),
            "remote": region[:2] in _REMOTE,
            "skus": sorted({line.sku for line in lines})[:LINES_MAX],
            "categories": _names(known.category for known in found),
            "brands": _names(known.brand for known in found),
            "owner": owner,
            "hops": hops,
        }
    )
    door = Door(
        tenant, one.channel, owner, "", mode, tier, _text(ship_to, "merge_key"),
        _text(document, "buyer_id"), _text(ship_to, "consignee_id"), address_of(ship_to),
        apart=on_delivery,
    )  # fmt: skip
    return Order(
        subject.order_id, tenant, one.channel, facts, region, *_place(ship_to), lines, mode,
        "" if mode == _PICKUP else tier, cod, insured, one.currency, paid_at,
        _instant(promise, "ship_by"), _instant(promise, "deliver_by"), priority, merge_hash(door),
        _text(document, "buyer_id"), world.excluded.get(subject.order_id, ()), hops,
        frozenset(_texts(carriers, "allow")), frozenset(_texts(carriers, "deny")),
    )  # fmt: skip


def _line(
    need: Demand, one: Recorded, by_number: Mapping[int, RecordedLine], world: World, mode: Mode
) -> Line:
    kept = by_number[need.line_no]
    posted = _posted(one, kept.part_of or need.line_no)
    known = world.carried.get(need.sku, _UNKNOWN)
    node = _text(posted, "node")
    if mode == _PICKUP and not node:
        node = _text(_member(one.document, "attribution"), "store")
    service = _text(_member(_member(one.document, "extensions"), "carriers"), "service")
    part_of = kept.part_of if kept.part_of != kept.line_no else 0
    return Line(
        need.line_no, need.sku, need.group, need.units, known.grams * need.units,
        known.cm3 * need.units, kept.payable * need.units // kept.units if kept.units else 0,
        known.tags, node, service, part_of, _text(posted, "ship_with"),
    )  # fmt: skip


def _posted(one: Recorded, line_no: int) -> Mapping[str, Any]:
    lines = one.document.get("lines")
    known = isinstance(lines, list) and 0 < line_no <= len(lines)
    told = lines[line_no - 1] if known else {}  # type: ignore[index]  # it is a list
    return told if isinstance(told, dict) else {}


def _place(ship_to: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Return coordinates, to about 100 m: what is kept of a decision shows nobody's door."""
    lat, lon = ship_to.get("latitude"), ship_to.get("longitude")
    if not isinstance(lat, int | float) or not isinstance(lon, int | float):
        return None, None
    return round(float(lat), _DIGITS), round(float(lon), _DIGITS)


def _member(told: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = told.get(name)
    return value if isinstance(value, dict) else {}


def _text(told: Mapping[str, Any], name: str) -> str:
    value = told.get(name)
    return value[:IDENTIFIER_LENGTH_MAX] if isinstance(value, str) else ""


def _texts(told: Mapping[str, Any], name: str) -> list[str]:
    value = told.get(name)
    many = value if isinstance(value, list) else []
    return [one[:IDENTIFIER_LENGTH_MAX] for one in many if isinstance(one, str)]


def _names(told: Any) -> list[str]:
    return sorted({one for one in told if one})[:LINES_MAX]


def _number(value: object) -> int:
    """Return a whole number from 0, 0 for all else; `true` is no number."""
    return max(0, value) if type(value) is int else 0


def _instant(told: Mapping[str, Any], name: str) -> int:
    """Return ms of an instant as it was posted, 0 without one."""
    moment = codec.moment(told.get(name))
    return clock.to_ms(moment) if moment else 0
