"""From an order as posted to the claim the cell judges; pure."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final

import msgspec

from engine.kernel import codec, ids
from engine.kernel.clock import to_ms
from engine.kernel.errors import ValidationFailed
from engine.kernel.limits import AMOUNT_MAX
from engine.kernel.money import apportion
from engine.kernel.types import Fault
from engine.reservation import bundles
from engine.reservation.bundles import Components, Line
from engine.reservation.types import Claim, LineIn, OrderIn

POSTED_PAYMENT: Final = "posted"  # the payment_id of an order that arrives paid and names none
NO_BUNDLES: Final[Mapping[str, Components]] = {}
_ZONE_MAX: Final = timedelta(hours=16)  # that of Postgres
_FINGERPRINT_VERSION: Final = 1
_pack: Final = msgspec.msgpack.Encoder().encode
_LINE_DIGITS_MAX: Final = 4
_BUYER_KEYS: Final = ("phone", "address", "device")
_AMOUNTS: Final = ("items", "discount", "shipping", "tax", "payable")


def claim_of(
    order: OrderIn,
    *,
    tenant: str,
    actor: str,
    now_ms: int,
    known: Mapping[str, Components] = NO_BUNDLES,
) -> Claim:
    """Return what the cell is asked for; `known` are the bundles, whose components it holds.

    Raises:
        ValidationFailed: identifiers, money or quantities that do not fit together.
    """
    check_identifiers(order)
    for n, line in enumerate(order.lines):
        codec.identifier(line.sku, f"/lines/{n}/sku")
        if line.on_short == "owe":
            codec.refuse(f"/lines/{n}/on_short", "owe is for what a marketplace has already sold")
    currency = currency_of(order)
    payables, total = payable(order)
    lines: tuple[Line, ...] = tuple(
        (line.sku, line.quantity, units, line.on_short)
        for line, units in zip(order.lines, payables, strict=True)
    )
    said = fingerprint(order, lines)  # of what was posted, whatever a bundle stands for
    if known:
        lines = _with_components(order, lines, known)
    _check_payments(order)
    settle = "" if order.payment.status == "pending" else order.payment.status
    return Claim(
        order_id=ids.order_id(tenant, order.channel, order.channel_order_id),
        fingerprint=said,
        tenant=tenant,
        channel=order.channel,
        campaign=order.campaign,
        buyer=order.buyer_id,
        currency=currency,
        total=total,
        settle=settle,
        method=order.payment.method,
        replace=int(order.replace_unpaid),
        lines=lines,
        payment=_payment(order, currency, total, actor) if settle == "paid" else (),
        buyer_keys=buyer_keys(order),
        placed_at=codec_ms(order, now_ms),
        actor=actor,
        split_from=split_from(order, tenant) if order.relations else "",
        ticket=order.ticket,
    )


def _with_components(
    order: OrderIn, lines: tuple[Line, ...], known: Mapping[str, Components]
) -> tuple[Line, ...]:
    found = bundles.expanded(lines, known)
    if found is not lines and any(one.kind == "split_from" for one in order.relations):
        n = next(n for n, line in enumerate(found) if line[3] == bundles.SOLD)
        codec.refuse(f"/lines/{n}/sku", "is a bundle: it stays in the order it came in")
    return found


def fingerprint(order: OrderIn, lines: tuple[tuple[str, int, int, str], ...]) -> str:
    """Return what must be equal for the same id to be the same order; other fields may change."""
    same = [(sku, quantity, units) for sku, quantity, units, _ in lines]
    parts = (_FINGERPRINT_VERSION, order.channel, order.buyer_id, order.campaign, same)
    return ids.fingerprint(_pack(parts))


def payable(order: OrderIn) -> tuple[list[int], int]:
    """Return minor units asked for each line, and for the order.

    Given `amounts.payable`, what is not shipping or tax is apportioned over the lines, unless the
    lines say their own `payable`. The lines never ask for more than the order.
    """
    lines = [_line_payable(line, n) for n, line in enumerate(order.lines)]
    given = order.amounts.payable
    if given is None:
        total = sum(lines) + _amount(order.amounts.shipping) + _amount(order.amounts.tax)
    else:
        total = given.amount
        own = any(line.payable is not None for line in order.lines)
        goods = total - _amount(order.amounts.shipping) - _amount(order.amounts.tax)
        if not own and goods != sum(lines) and goods >= 0:
            lines = apportion(goods, lines)
    if not 0 <= total <= AMOUNT_MAX or sum(lines) > total:
        raise ValidationFailed(
            [Fault("/amounts/payable", f"must be 0 to {AMOUNT_MAX} and cover its lines")]
        )
    return lines, total


def buyer_keys(order: OrderIn) -> tuple[tuple[str, str], ...]:
    """Return the keys other than `buyer_id` by which a campaign may count this buyer."""
    keys = order.buyer_keys
    if not (keys.phone or keys.address or keys.device):
        return ()
    return tuple((name, value) for name in _BUYER_KEYS if (value := getattr(keys, name)))


def codec_ms(order: OrderIn, now_ms: int) -> int:
    """Return when the order was placed, ms; an order that does not say was placed now."""
    return now_ms if order.placed_at is None else ms_of(order.placed_at, "/placed_at")


def split_from(order: OrderIn, tenant: str) -> str:
    """Return the order whose units this one takes over, "" for none.

    Raises:
        ValidationFailed: two such relations, paid already, or with `replace_unpaid`.
    """
    named = [(n, one) for n, one in enumerate(order.relations) if one.kind == "split_from"]
    if not named:
        return ""
    n, relation = named[0]
    if len(named) > 1:
        codec.refuse(f"/relations/{named[1][0]}", "an order is split from one other")
    if order.payment.status != "pending":
        codec.refuse("/payment/status", "an order split from an unpaid one is pending, too")
    if order.replace_unpaid:
        codec.refuse("/replace_unpaid", "not together with the relation split_from")
    source = codec.identifier(relation.channel_order_id, f"/relations/{n}/channel_order_id")
    return ids.order_id(tenant, order.channel, source)


def line_number(order_id: str, line_id: str) -> int:
    """Return the number of a line of this order, from 1; 0 when the id is not one of its."""
    prefix, _, number = line_id.rpartition("-")
    if prefix != order_id or not number.isdecimal() or len(number) > _LINE_DIGITS_MAX:
        return 0
    return int(number)


def _line_payable(line: LineIn, n: int) -> int:
    if line.payable is not None:
        units = line.payable.amount
    else:
        units = line.unit_price.amount * line.quantity
        for i, discount in enumerate(line.discounts):
            if discount.amount.amount < 0:
                codec.refuse(f"/lines/{n}/discounts/{i}/amount", "must not be negative")
            units -= discount.amount.amount
    if not 0 <= units <= AMOUNT_MAX or line.unit_price.amount < 0:
        raise ValidationFailed(
            [Fault(f"/lines/{n}", f"asks for {units}: must be 0 to {AMOUNT_MAX}")]
        )
    return units


def ms_of(moment: datetime, pointer: str) -> int:
    """Return a moment in ms.

    Raises:
        ValidationFailed: not in 2000 to 2199; what Postgres can keep, Python cannot always read.
    """
    return to_ms(codec.instant(moment, pointer))


def _amount(money: codec.Money | None) -> int:
    return 0 if money is None else money.amount


def currency_of(order: OrderIn) -> str:
    """Return the one currency of an order.

    Raises:
        ValidationFailed: it has two.
    """
    currency = order.lines[0].unit_price.currency
    for steps, money in _money_in(order):
        if money.currency != currency:
            pointer = "".join(f"/{step}" for step in (*steps, "currency"))
            codec.refuse(pointer, f"one order has one currency, here {currency}")
    return currency


def _money_in(order: OrderIn) -> Iterator[tuple[tuple[str | int, ...], codec.Money]]:
    """Yield all that takes part in the sums, and where it stands."""
    for n, line in enumerate(order.lines):
        yield ("lines", n, "unit_price"), line.unit_price
        if line.payable is not None:
            yield ("lines", n, "payable"), line.payable
        if line.tax is not None:
            yield ("lines", n, "tax"), line.tax
        for i, discount in enumerate(line.discounts):
            yield ("lines", n, "discounts", i, "amount"), discount.amount
    for name in _AMOUNTS:
        money = getattr(order.amounts, name)
        if money is not None:
            yield ("amounts", name), money


def check_identifiers(order: OrderIn) -> None:
    """Refuse names of channel, order, buyer or campaign that cannot be names, and odd promises.

    Raises:
        ValidationFailed: with the place.
    """
    codec.identifier(order.channel, "/channel")
    codec.identifier(order.channel_order_id, "/channel_order_id")
    if order.buyer_id:
        codec.identifier(order.buyer_id, "/buyer_id")
    if order.campaign:
        codec.identifier(order.campaign, "/campaign")
    if order.promise is not None:
        _check_promised(order.promise.ship_by, "/promise/ship_by")
        _check_promised(order.promise.deliver_by, "/promise/deliver_by")


def _check_promised(by: datetime | None, pointer: str) -> None:
    """Refuse what Postgres would not read out of the document, where it lies as it was spelled."""
    if by is not None:
        codec.instant(by, pointer)
        if abs(by.utcoffset() or timedelta()) >= _ZONE_MAX:
            codec.refuse(pointer, "must have a zone of less than 16 hours")


def _check_payments(order: OrderIn) -> None:
    """Refuse payments that this call could not book: nothing posted may vanish."""
    if order.payments and order.payment.status != "paid":
        codec.refuse("/payments", "an order that brings payments says payment.status paid")
    if len(order.payments) > 1:
        codec.refuse("/payments", "one payment here; others by POST /v1/orders/{id}/payments")


def _payment(
    order: OrderIn, currency: str, total: int, actor: str
) -> tuple[str, int, str, str, int, str, str]:
    if order.payments:
        given = order.payments[0]
        if (given.amount.amount, given.amount.currency) != (total, currency):
            raise ValidationFailed(
                [Fault("/payments/0/amount", f"must be the {total} {currency} the order asks for")]
            )
        payment_id = codec.identifier(given.payment_id, "/payments/0/payment_id")
        paid_at = 0 if given.paid_at is None else ms_of(given.paid_at, "/payments/0/paid_at")
        return payment_id, total, currency, given.method, paid_at, given.stage, actor
    return POSTED_PAYMENT, total, currency, order.payment.method, 0, "full", actor
