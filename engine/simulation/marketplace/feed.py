"""What reaches us of a marketplace: late, twice, out of order, with gaps, many in one body."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any, Final

from engine.kernel.clock import rfc3339
from engine.simulation.marketplace.trading import Line, Version, trade
from engine.simulation.marketplace.types import Account, Delivery, Spec, Truth

_DELAY_S: Final = 0.1
_BODY_MAX: Final = 500
_PAGE: Final = 20
_BODIES: Final = {1: 4, _PAGE: 3, 100: 2, _BODY_MAX: 1}  # sizes: a push, or pages of a pull
_PARTS_MIN: Final = 16
_ACCOUNTS: Final[dict[str, Account]] = {"unpaid": "unpaid", "closed": "closed"}


class Marketplace:
    """One shop of which everything has already happened; `feed` may be read again and again."""

    def __init__(self, spec: Spec) -> None:
        """Trade: all is decided here by the seed, and nothing moves afterwards."""
        self.spec = spec
        self._orders = self._traded()
        self.truth = tuple(self._truth(n, order) for n, order in enumerate(self._orders))

    def wanted(self) -> Counter[str]:
        """Return by SKU the units that all orders want in the end, unpaid ones too."""
        units: Counter[str] = Counter()
        for order in self.truth:
            units.update(order.units)
        return units

    def beyond(self, granted: Mapping[str, int]) -> dict[str, int]:
        """Return by SKU the units wanted in the end beyond those granted, where there are any."""
        missing = {sku: units - granted.get(sku, 0) for sku, units in sorted(self.wanted().items())}
        return {sku: units for sku, units in missing.items() if units > 0}

    def feed(self) -> Iterator[Delivery]:
        """Yield bodies in the order of their arrival; a final version comes at least once."""
        rng = Random(f"feed {self.spec.seed} {self.spec.channel}")
        arrivals = sorted(self._arrivals(rng))
        # one body holds no large part of a small feed: its first snapshots would wait for the last
        most = max(_PAGE, len(arrivals) // _PARTS_MIN)
        while arrivals:
            size = min(most, rng.choices(tuple(_BODIES), tuple(_BODIES.values()))[0])
            body, arrivals = arrivals[:size], arrivals[size:]
            documents = [self._document(n, self._orders[n][place]) for _, n, place in body]
            if len(documents) < _BODY_MAX and rng.random() < self.spec.rates.twins:
                documents.insert(rng.randint(0, len(documents)), rng.choice(documents))
            yield Delivery(body[-1][0], documents)

    def _traded(self) -> list[list[Version]]:
        return trade(self.spec)

    def _arrivals(self, rng: Random) -> Iterator[tuple[float, int, int]]:
        """Yield (when, which order, which of its versions)."""
        for n, order in enumerate(self._orders):
            yield from self._arrivals_of(rng, n, order)

    def _arrivals_of(
        self, rng: Random, n: int, order: Sequence[Version]
    ) -> Iterator[tuple[float, int, int]]:
        rates = self.spec.rates
        for place, version in enumerate(order, 1):
            if place < len(order) and rng.random() < rates.skipped:
                continue
            for _copy in range(2 if rng.random() < rates.twice else 1):
                late_s = rng.uniform(0, rates.late_s) if rng.random() < rates.late else 0.0
                yield version.at_s + rng.expovariate(1 / _DELAY_S) + late_s, n, place - 1

    def _truth(self, n: int, order: list[Version]) -> Truth:
        final = order[-1]
        return Truth(
            channel_order_id=self._order_id(n),
            version=str(final.number),
            placed_at=self._instant(order[0].at_s),
            account=_ACCOUNTS.get(final.status, "sold"),
            units=dict(final.units()),
            unmapped=any(not line.listing.sku for line in final.lines),
            oversold=final.oversold,
        )

    # How an order is written.

    def _document(self, n: int, at: Version) -> dict[str, Any]:
        total = self._money(sum(self._price(line) * line.quantity for line in at.lines))
        document: dict[str, Any] = {
            "channel": self.spec.channel,
            "channel_order_id": self._order_id(n),
            "version": str(at.number),
            "source_status": at.status,
            "placed_at": self._instant(self._orders[n][0].at_s),
            "buyer_id": f"{self.spec.channel}-{n:06d}",
            "lines": [self._line(place, line) for place, line in enumerate(at.lines, 1)],
            "amounts": {"payable": total},
            "ship_to": {
                "name": "李*", "phone": "138****0000", "country": "CN", "province": "广东省",
                "city": "深圳市", "address": f"{at.address} 号 ***", "revision": at.address,
            },
            "seller_note": f"memo {at.memos}" if at.memos else "",
            "tags": ["oversold"] if at.oversold else [],
        }  # fmt: skip
        if self.spec.campaign:
            document["campaign"] = self.spec.campaign
        if at.on_delivery:
            document["payment"] = {"status": "on_delivery"}
        if at.paid_s is not None:
            paid_at = self._instant(at.paid_s)
            document["payment"] = {"status": "paid", "method": "alipay"}
            document["payments"] = [{"payment_id": "p1", "amount": total, "paid_at": paid_at}]
        return document

    def _line(self, place: int, line: Line) -> dict[str, Any]:
        written: dict[str, Any] = {
            "sku": "" if line.listed else line.listing.sku,
            "quantity": line.quantity,
            "unit_price": self._money(self._price(line)),
            "channel_line_id": f"{place}",
            "kind": "gift" if line.listing.item_id == "gift" else "sale",
            "refunded_quantity": line.refunded,
            "shipped_quantity": line.shipped,
        }
        if line.listed:
            written["listing"] = {"item_id": line.listing.item_id, "sku_id": line.listing.sku_id}
        return written

    def _price(self, line: Line) -> int:
        if line.listing.item_id == "gift":
            return 0
        return self.spec.prices.get(line.listing.sku, 9_900) * line.listing.units_per

    def _money(self, amount: int) -> dict[str, Any]:
        return {"amount": amount, "currency": self.spec.currency}

    def _order_id(self, n: int) -> str:
        return f"{self.spec.mark}{n + 1:06d}"

    def _instant(self, at_s: float) -> str:
        return rfc3339(self.spec.opens_at_ms + int(at_s * 1_000))
