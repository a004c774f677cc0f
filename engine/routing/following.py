"""One order followed, in a terminal: from its POST to the signature, with why it went from where.

It reads what the calls answer (`GET /v1/orders/{order_id}` and its `/routing`), so that whoever has
these answers can show it. Who bought, where it goes and what people wrote is left out.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from engine.routing.rules.scoring import MONEY

Told = Mapping[str, Any]
_DECIMALS: Final = {
    "JPY": 0, "KRW": 0, "VND": 0, "CLP": 0, "ISK": 0, "BHD": 3, "KWD": 3, "JOD": 3, "OMR": 3,
    "TND": 3,
}  # fmt: skip
_LISTED_MAX: Final = 8
_MONEY: Final = frozenset(MONEY)
_RULES: Final = "review"  # whose reasons are words of rules, not what somebody wrote of an order
# What decisions and ways of parcels tell better.
_TOLD_BETTER: Final = frozenset({"parcel.milestone", "order.reviewed"})
_OF_DECISIONS: Final = frozenset({"order.routed", "order.parked"})
# What a node says that is no event of its own.
_STEPS: Final = ("picked", "packed", "waybill", "lacking")


class Happening(NamedTuple):
    """Something that happened, and what there is to say of it."""

    at: str
    text: str
    more: tuple[str, ...] = ()


def followed(order: Told, routing: Told) -> Iterator[str]:
    """Yield the lines; instants are UTC, behind them the seconds since the first."""
    found = happenings(order, routing)
    lines = order["lines"]
    units = sum(line["quantity"] for line in lines)
    yield (
        f"order {order['order_id']} of {order['channel']}: {len(lines)} lines, {units} units,"
        f" {amount(order['payable'])}, {order['status']}"
    )
    begun, day = _instant(found[0].at) if found else None, ""
    for one in found:
        at = _instant(one.at)
        if one.at[:10] != day:
            day = one.at[:10]
            yield day
        since = (at - begun).total_seconds() if begun else 0.0
        yield f"  {one.at[11:23]} {since:+12,.3f} s  {one.text}"
        for line in one.more:
            yield f"{'':31}{line}"
    yield from _now(order, routing)


def happenings(order: Told, routing: Told) -> list[Happening]:
    """Return what happened to an order, the earliest first."""
    return sorted(_happenings(order, routing), key=lambda one: one.at)


def amount(money: Told) -> str:
    """Return money as people write it: `8.00 CNY`."""
    decimals = _DECIMALS.get(money["currency"], 2)
    return f"{money['amount'] / 10**decimals:,.{decimals}f} {money['currency']}"


def _now(order: Told, routing: Told) -> Iterator[str]:
    for block in order["blocks"]:
        until = f" until {block['until']}" if block["until"] else ""
        yield f"blocked: {block['code']}{until}"
    if place := order["queue"]:
        yield f"waits in {place['queue']} since {place['since']}: {place['reason']}"
    for one in routing.get("rejections", ()):
        until = f" until {one['excluded_until']}" if one["excluded_until"] else ""
        yield f"not asked again{until}: {one['node']}, {one['units']} units, {one['reason']}"
    for one in routing.get("broken_promises", ()):
        if one["until"] is None:
            yield f"a promise is broken: {one['units']} x {one['sku']}, {one['reason']}"


def _happenings(order: Told, routing: Told) -> Iterator[Happening]:
    decisions = routing.get("items", ())
    explained = {one["at"] for one in decisions}
    for one in order["timeline"]:
        kind = one["kind"]
        if kind in _TOLD_BETTER or (kind in _OF_DECISIONS and one["at"] in explained):
            continue
        say = _KINDS.get(kind)
        text = say(one["data"], order) if say else kind.replace(".", " ").replace("_", " ")
        if kind == "order.blocked" and one["actor"] == _RULES and one["data"]["reason"]:
            text += f" ({one['data']['reason']})"
        yield Happening(one["at"], text)
    yield from _passed_blocks(order)
    for one in decisions:
        yield Happening(one["at"], _decided(one), tuple(_why(one)))
    for sent in order["fulfilments"]:
        told = sent["told_at"]
        yield from (
            Happening(told[step], f"{sent['node']}: {step}") for step in _STEPS if step in told
        )
        for parcel in sent["parcels"]:
            items = _items({line["line_id"]: line["sku"] for line in sent["lines"]}, parcel)
            grams = f", {parcel['grams']:,} g" if parcel["grams"] else ""
            by = f"{parcel['carrier']} {parcel['waybill']}".strip() or "no number"
            yield Happening(parcel["shipped_at"], f"parcel {by}{grams}{items}")
            for seen in parcel["tracking"]:
                signed = ", signed for" if seen["milestone"] == "delivered" else ""
                yield Happening(seen["at"], f"{by}: {seen['milestone']}{signed}")


def _passed_blocks(order: Told) -> Iterator[Happening]:
    """Blocks that end by themselves have no event for it."""
    standing = {one["code"] for one in order["blocks"]}
    lifted = {one["data"]["code"] for one in order["timeline"] if one["kind"] == "order.unblocked"}
    for one in order["timeline"]:
        if one["kind"] == "order.blocked" and one["data"]["until"]:
            code = one["data"]["code"]
            if code not in standing | lifted:
                yield Happening(one["data"]["until"], f"block passed: {code}")


def _decided(one: Told) -> str:
    rule = f"rule {one['rule']}" + (f" ({one['rule_name']})" if one["rule_name"] else "")
    by = f"by plan {one['plan']} v{one['version']}, {rule}"
    if one["verdict"] == "routed":
        return f"routed {by}"
    return f"parked in {one['queue']} {by}: {one['reason']}"


def _why(one: Told) -> Iterator[str]:
    for part in one["parts"]:
        yield from _part(part)
    if second := one["runner_up"]:
        currency = next((part["quote"]["currency"] for part in one["parts"]), "")
        by = [pair for pair in second["worse_by"].items() if pair[1]]
        worse = ", ".join(_worse(metric, units, currency) for metric, units in by)
        yield f"second: {' + '.join(second['nodes'])}, {worse or 'as good'}"
    for tried in one["tried"]:
        yield from _tried(tried)
    by_reason: dict[str, list[str]] = {}
    for refusal in one["carriers"]:
        by_reason.setdefault(refusal["reason"], []).append(refusal["node"])
    for reason, nodes in by_reason.items():
        yield f"no carrier from {_listed(nodes)}: {reason}"
    if one["rest"]:
        yield f"left: {_units(one['rest'])}, {one['queue']}, {one['reason']}"


def _part(part: Told) -> Iterator[str]:
    service = part["service"] or "no carrier"
    card = f" by {part['card']} v{part['card_version']}" if part["card"] else ""
    there = f", there by {part['deliver_by'][:16]}" if part["deliver_by"] else ""
    yield f"{part['node']}: {_units(part['lines'])}"
    yield f"  {service}, {amount(part['quote'])}{card}, {part['grams']:,} g{there}"


def _tried(one: Told) -> Iterator[str]:
    if one["why"]:
        yield f"rule {one['rule']} ({one['name']}): {one['why']}"
    for step in one["filters"]:
        if step["dropped"]:
            yield f"{step['filter']} drops {_listed(step['dropped'])}"
    for lack in one["lacking"][:_LISTED_MAX]:
        yield f"{lack['node']} lacks {_listed(lack['skus'])}"


def _worse(metric: str, by: int, currency: str) -> str:
    """Return a difference; distances are metres, money is written so, the rest as it counts."""
    if metric in _MONEY and currency:
        return f"{metric} {'+' if by > 0 else ''}{amount({'amount': by, 'currency': currency})}"
    return f"{by / 1_000:+,.1f} km" if metric == "distance" else f"{metric} {by:+,}"


def _units(lines: Sequence[Told]) -> str:
    return _listed([f"{one['quantity']} x {one['sku']}" for one in lines])


def _items(skus: Told, parcel: Told) -> str:
    what = [f"{one['quantity']} x {skus.get(one['line_id'], '?')}" for one in parcel["items"]]
    return f": {', '.join(what)}" if what else ""


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED_MAX} more" if len(names) > _LISTED_MAX else ""
    return ", ".join(names[:_LISTED_MAX]) + more


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _reserved(data: Told, order: Told) -> str:
    asked = amount({"amount": data["total"], "currency": data["currency"]})
    if data["state"] == "P" and order["pay_by"]:
        return f"POST: {asked} asked, units held until {order['pay_by'][11:23]}"
    return f"POST: {asked}, units committed"


def _paid(data: Told, order: Told) -> str:
    money = {"amount": data["amount"], "currency": order["payable"]["currency"]}
    return f"paid {amount(money)} by {data['payment_id']}"


def _blocked(data: Told, _order: Told) -> str:
    until = f" until {data['until'][:23]}" if data["until"] else ""
    return f"blocked: {data['code']}{until}"


def _routed(data: Told, _order: Told) -> str:
    nodes = ", ".join(one["node"] for one in data["shipments"])
    return f"routed by plan {data['plan']} v{data['version']}, rule {data['rule']}: {nodes}"


def _answered(data: Told, _order: Told) -> str:
    return f"stop answered: {data['answer']}"


def _at_node(word: str) -> Callable[[Told, Told], str]:
    return lambda data, _order: f"{data['node']}: {word}"


_KINDS: Final[Mapping[str, Callable[[Told, Told], str]]] = {
    "order.reserved": _reserved,
    "order.paid": _paid,
    "order.deposit_paid": _paid,
    "order.blocked": _blocked,
    "order.unblocked": lambda data, _order: f"block lifted: {data['code']}",
    "order.released": lambda _data, _order: "on its way to the warehouse's system",
    "order.routed": _routed,
    "order.parked": lambda data, _order: f"parked in {data['queue']}: {data['reason']}",
    "order.stop_requested": lambda data, _order: f"to be stopped: {data.get('cause', '')}",
    "order.stop_answered": _answered,
    "shipment.sent": _at_node("has it"),
    "shipment.accepted": _at_node("accepted"),
    "shipment.rejected": _at_node("rejected"),
    "shipment.cancelled": _at_node("cancelled"),
    "shipment.shipped": _at_node("shipped"),
    "parcel.near_breach": lambda data, _order: f"{data['leg']} is nearly late",
    "parcel.breached": lambda data, _order: f"{data['leg']} is late",
}
