"""Payments in the plain model: at once or in stages, in time or after the end."""

from copy import deepcopy
from typing import Any

from tests.lua.model_parts import Draw, Hold, Offer, Refused, Source
from tests.lua.model_stock import KEEP_MS, Stock

SETTLED_WORD = {"C": "ALREADY_CONFIRMED", "R": "ALREADY_RELEASED", "E": "EXPIRED"}
REASONS = {"LIMIT_REACHED": "limit", "TOO_LATE": "too_late"}


class Paying(Stock):
    """The end of holds, and what is paid of them."""

    def finish(self, hold: Hold, state: str) -> None:
        hold.state, hold.due = state, 0
        self.done["o/" + hold.ask.order_id] = self.now + KEEP_MS
        self.forget_newest(hold)

    def forget_newest(self, hold: Hold) -> None:
        whose = (hold.ask.campaign, hold.ask.buyer)
        if self.newest.get(whose) == hold.ask.order_id:
            del self.newest[whose]

    def book(  # noqa: PLR0911 - one return a verdict
        self, order_id: str, payment_id: str, amount: int
    ) -> list[Any] | None:
        hold = self.holds.get(order_id)
        if not hold:
            return ["UNKNOWN_ORDER"]
        if payment_id in hold.payments:
            outcome, paid = hold.payments[payment_id]
            return ["REPEATED", outcome] if paid == amount else ["CHANGED", paid]
        if hold.state in "CR":
            reason = "second_payment" if hold.state == "C" else "cancelled"
            hold.payments[payment_id] = (reason, amount)
            return [SETTLED_WORD[hold.state]]
        due = hold.due_now
        if amount not in {hold.unpaid, due}:
            return ["CONFLICT", due, "CNY"]
        if hold.state == "E":
            return None
        if amount != hold.unpaid:
            hold.payments[payment_id] = ("applied", amount)
            self.forget_newest(hold)
            hold.deposited(amount)
            return ["DEPOSITED", hold.pay_by, hold.unpaid]
        for draw in hold.draws:
            self.pools[draw.pool].held -= draw.units
            self.pools[draw.pool].sold += draw.units
        return self.all_paid(hold, payment_id, amount)

    def all_paid(self, hold: Hold, payment_id: str, amount: int) -> list[Any]:
        hold.payments[payment_id] = ("applied", amount)
        hold.stages, hold.paid = [], 0
        self.finish(hold, "C")
        return ["CONFIRMED"]

    def confirm(self, order_id: str, payment_id: str, amount: int) -> list[Any]:
        return self.book(order_id, payment_id, amount) or ["EXPIRED"]

    def rehold(self, order_id: str, payment_id: str, amount: int) -> list[Any]:
        booked = self.book(order_id, payment_id, amount)
        if booked:
            return booked
        hold = self.holds[order_id]
        whole = amount == hold.unpaid
        before = deepcopy(self.pools)
        try:
            hold.draws = self.take_again(hold, whole=whole)
        except Refused as refusal:
            self.pools = before
            reason = REASONS.get(refusal.args[0], "no_stock")
            hold.payments[payment_id] = (reason, amount)
            return ["REFUND_DUE", reason]
        hold.attempt += 1
        hold.counted_skus = {line.sku for line in hold.ask.lines if line.units}
        if whole:
            return self.all_paid(hold, payment_id, amount)
        hold.payments[payment_id] = ("applied", amount)
        hold.state = "P"
        hold.deposited(amount)
        return ["DEPOSITED", hold.pay_by, hold.unpaid]

    def take_again(self, hold: Hold, *, whole: bool) -> list[Draw]:
        """From the pools of the offer or, where they ended, from those that took their place."""
        if not whole and self.now >= hold.stages[1].until:
            raise Refused("TOO_LATE")
        self.check_limits(hold.ask)
        written = self.offers
        self.offers = {key: self.offer_of_heirs(offer) for key, offer in written.items()}
        try:
            draws, dropped = self.take(hold.ask, "sold" if whole else "held")
        finally:
            self.offers = written
        if dropped:
            raise Refused("SOLD_OUT")
        return draws

    def offer_of_heirs(self, offer: Offer) -> Offer:
        """Units of its own that a pool passed on are under no cap where they went."""
        found: dict[str, int] = {}
        for source in offer.sources:
            heir = self.heir(source.pool)
            if heir not in found or source.cap < 0:
                found[heir] = source.cap
        return Offer([Source(*one) for one in found.items()], offer.limit, offer.deposit)
