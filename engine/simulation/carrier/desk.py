"""The desk at which waybills are asked for; deterministic for a seed, whatever the order of calls.

What happens to one call depends on its request and on how often that was made, not on the clock or
on what came between: a test that repeats a request meets the same desk.
"""

import random
from collections import Counter

from engine.carriers.types.waybills import Reply, Wanted
from engine.simulation.carrier.types import GOOD, Rates

_UNKNOWN = Reply("UNKNOWN", text="the connection was cut")


class Desk:
    """A waybill port with books.

    `given` are numbers by request, `cancelled` those given back, `on_the_way` those that left,
    `turned` those that are to come back.
    """

    def __init__(self, seed: int, rates: Rates = GOOD, prefix: str = "SF") -> None:
        """Begin with empty books."""
        self._seed, self._rates, self._prefix = seed, rates, prefix
        self.given: dict[str, str] = {}
        self.cancelled: set[str] = set()
        self.on_the_way: set[str] = set()
        self.turned: set[str] = set()
        self.calls: Counter[str] = Counter()

    async def get(self, one: Wanted) -> Reply:
        """Give a number, the same one for the same request."""
        chance = self._chance("get", one.request_id)
        if self._refuses(one.request_id):
            return Reply("REFUSED", code="E1001", text="the address is not served", permanent=True)
        if (broken := self._broken(chance)) is not None:
            return broken
        number = self.given.setdefault(one.request_id, self._number(one.request_id))
        if chance.random() < self._rates.reply_lost:
            return _UNKNOWN
        return Reply("DONE", number, _printed(one, number))

    async def cancel(self, waybill: str, reason: str) -> Reply:  # noqa: ARG002 - of the port
        """Take a number back, unless its parcel has left."""
        chance = self._chance("cancel", waybill)
        if (broken := self._broken(chance)) is not None:
            return broken
        if waybill in self.on_the_way:
            return Reply("REFUSED", code="E2001", text="it is on its way", permanent=True)
        if waybill not in self.given.values():
            return Reply("REFUSED", code="E2002", text="no such waybill", permanent=True)
        self.cancelled.add(waybill)
        return _UNKNOWN if chance.random() < self._rates.reply_lost else Reply("DONE", waybill)

    async def intercept(self, waybill: str, reason: str) -> Reply:  # noqa: ARG002 - of the port
        """Turn a parcel round that has left, or say that there is none."""
        if (broken := self._broken(self._chance("intercept", waybill))) is not None:
            return broken
        if waybill not in self.given.values() and waybill not in self.on_the_way:
            return Reply("REFUSED", code="E2002", text="no such waybill", permanent=True)
        self.turned.add(waybill)
        return Reply("DONE", waybill)

    async def print_data(self, waybill: str) -> Reply:
        """Return what is printed of a number that was given and not taken back."""
        if waybill not in self.given.values() or waybill in self.cancelled:
            return Reply("REFUSED", code="E2002", text="no such waybill", permanent=True)
        return Reply("DONE", waybill, {"waybill": waybill})

    def collect(self, waybill: str) -> bool:
        """Take a parcel along; False for a number that is not good any more."""
        good = waybill in self.given.values() and waybill not in self.cancelled
        if good:
            self.on_the_way.add(waybill)
        return good

    def mend(self) -> None:
        """Do all that is asked from now on, and answer it."""
        self._rates = GOOD

    def out(self) -> set[str]:
        """Return the numbers that were given and not taken back."""
        return set(self.given.values()) - self.cancelled

    def _chance(self, verb: str, name: str) -> random.Random:
        self.calls[f"{verb} {name}"] += 1
        return random.Random(f"{self._seed} {verb} {name} {self.calls[f'{verb} {name}']}")

    def _refuses(self, request_id: str) -> bool:
        chance = random.Random(f"{self._seed} refuses {request_id}")
        return chance.random() < self._rates.refused

    def _broken(self, chance: random.Random) -> Reply | None:
        if chance.random() < self._rates.error:
            return Reply("UNKNOWN", text="503")
        if chance.random() < self._rates.busy:
            return Reply("REFUSED", code="E9000", text="too many requests")
        return None

    def _number(self, request_id: str) -> str:
        digits = random.Random(f"{self._seed} number {request_id}").randrange(10**11)
        return f"{self._prefix}{digits:011d}{_check(digits)}"


def _printed(one: Wanted, number: str) -> dict[str, object]:
    """Return what a printer needs beside the address, which it has from elsewhere."""
    return {"waybill": number, "template": "100x150", "sort_code": one.node[:8], "cod": one.cod}


def _check(digits: int) -> int:
    """Return a check digit: weights 3 and 1 from the right, as in EAN (GB 12904)."""
    total = sum(
        int(digit) * (3 if n % 2 == 0 else 1) for n, digit in enumerate(reversed(f"{digits:011d}"))
    )
    return -total % 10
