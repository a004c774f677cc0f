"""Facts and conditions made at random, near the edges that rules ask about."""

import random

from engine.kernel.expressions.schemas import ORDER_SCHEMA
from engine.kernel.expressions.types import Kind

CHANNELS = ("mall", "tmall", "jd", "pdd", "")
TAGS = ("FRESH", "COLD", "GIFT", "PRESELL", "HAZMAT", "易碎")
REGIONS = ("440305", "310000", "330100", "110000", "540000", "")
WORDS = (*CHANNELS, *TAGS, *REGIONS, "d11", "next_day", "SKU-1", "a'b\"c\\", "😀")


def order(rnd: random.Random) -> dict[str, object]:
    """Facts by name; numbers come from a few values, so that limits are met exactly."""
    return {
        "channel": rnd.choice(CHANNELS),
        "campaign": rnd.choice(("d11", "618", "")),
        "order_kind": rnd.choice(("sale", "exchange", "reship")),
        "tier": rnd.choice(("next_day", "standard", "instant", "")),
        "priority": rnd.randrange(-2, 3),
        "total": rnd.choice((0, 1, 3_899, 3_900, 9_999, 10_000, 10_001, 500_000, 10**14)),
        "units": rnd.choice((0, 1, 2, 9, 10, 11, 400_000_000)),
        "lines": rnd.choice((1, 2, 8, 15, 400)),
        "grams": rnd.choice((0, 1, 19_999, 20_000, 20_001, 2**53)),
        "cm3": rnd.choice((0, 6_000, 60_000)),
        "region": rnd.choice(REGIONS),
        "province": rnd.choice(("44", "31", "33", "11", "54", "")),
        "tags": tuple(rnd.sample(TAGS, rnd.randrange(4))),
        "buyer_tier": rnd.choice(("gold", "black", "")),
        "cod": rnd.choice((0, 0, 1, 9_900)),
        "insured": rnd.choice((0, 100_000)),
        "fulfil_mode": rnd.choice(("ship", "pickup", "instant")),
        "hour": rnd.choice((0, 9, 18, 23)),
        "weekday": rnd.randrange(1, 8),
        "has_note": rnd.random() < 0.5,
        "remote": rnd.random() < 0.2,
        "skus": tuple(rnd.choice(("SKU-1", "SKU-2", "X-9")) for _ in range(rnd.choice((0, 1, 15)))),
        "categories": tuple(rnd.sample(("food", "shoes", "toys"), rnd.randrange(3))),
        "brands": tuple(rnd.sample(("ours", "theirs"), rnd.randrange(3))),
        "owner": rnd.choice(("", "owner-1")),
        "hops": rnd.choice((0, 1, 10)),
    }


def greatest() -> dict[str, object]:
    """The largest facts that a schema lets through: what budgets are weighed for."""
    values: dict[str, object] = {}
    for field in ORDER_SCHEMA.fields:
        if field.kind is Kind.STRINGS:
            values[field.name] = tuple(f"{n:0128d}" for n in range(field.most))
        elif field.kind is Kind.STRING:
            values[field.name] = "a" * field.most
        elif field.kind is Kind.INT:
            values[field.name] = field.most
    return values


def quoted(text: str) -> str:
    """A text as a literal of CEL."""
    plain = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{plain}"'


class Author:
    """Writes conditions at random: everything that checks, the parts we do not make included."""

    def __init__(self, rnd: random.Random) -> None:
        self.rnd = rnd
        self._names = {
            kind: [one.name for one in ORDER_SCHEMA.fields if one.kind is kind] for kind in Kind
        }

    def condition(self, depth: int = 3, bound: tuple[str, ...] = ()) -> str:
        """A text of type bool."""
        if depth == 0:
            return self.rnd.choice([*self._names[Kind.BOOL], "true", "cod > 0"])
        down = depth - 1
        make = self.rnd.choice(
            [self._compared, self._compared, self._chained, self._searched, self._among, self._loop]
        )
        return make(down, bound)

    def _compared(self, depth: int, bound: tuple[str, ...]) -> str:
        sign = self.rnd.choice(("==", "!=", "<", "<=", ">", ">="))
        one = self.number if self.rnd.random() < 0.6 else self.text
        return f"({one(depth, bound)} {sign} {one(depth, bound)})"

    def _chained(self, depth: int, bound: tuple[str, ...]) -> str:
        a, b, c = (self.condition(depth, bound) for _ in range(3))
        return self.rnd.choice((f"({a} && {b} || !{c})", f"({a} ? {b} : {c})", f"!({a} == {b})"))

    def _searched(self, depth: int, bound: tuple[str, ...]) -> str:
        how = self.rnd.choice(("startsWith", "endsWith", "contains"))
        return f"{self.text(depth, bound)}.{how}({self.text(depth, bound)})"

    def _among(self, depth: int, bound: tuple[str, ...]) -> str:
        if self.rnd.random() < 0.3:
            return f"{self.number(depth, bound)} in [0, 1, {self.rnd.choice((10, 9_900))}]"
        many = "[" + ", ".join(quoted(self.rnd.choice(WORDS)) for _ in range(3)) + "]"
        listed = self.rnd.choice([many, *self._names[Kind.STRINGS]])
        return f"{self.text(depth, bound)} in {listed}"

    def _loop(self, depth: int, bound: tuple[str, ...]) -> str:
        name = self.rnd.choice(("t", "tags", "judge", "v", "f0"))
        over = self.rnd.choice(["tags", "categories", "['FRESH', 'COLD']", "tags + brands"])
        how = self.rnd.choice(("exists", "all", "exists", "all", "exists_one"))
        return f"({over}).{how}({name}, {self.condition(depth, (*bound, name))})"

    def number(self, depth: int, bound: tuple[str, ...]) -> str:
        if depth == 0 or self.rnd.random() < 0.5:
            literal = str(self.rnd.choice((0, 1, 3_900, 10_000, -1, 20_000, 2**62)))
            return self.rnd.choice([*self._names[Kind.INT], literal])
        a, b = self.number(depth - 1, bound), self.number(depth - 1, bound)
        listed = self.rnd.choice(self._names[Kind.STRINGS])
        if listed in bound:  # there a loop's variable, which is a text
            listed = "skus"
        return self.rnd.choice(
            (f"({a} + {b})", f"({a} - {b})", f"({a} * {b})", f"({a} / {b})", f"({a} % {b})",
             f"-({a})", f"size({listed})", f"{self.text(depth - 1, bound)}.size()")
        )  # fmt: skip

    def text(self, depth: int, bound: tuple[str, ...]) -> str:
        if bound and self.rnd.random() < 0.5:
            return self.rnd.choice(bound)
        if depth and self.rnd.random() < 0.1:
            return f"({self.text(depth - 1, bound)} + {self.text(depth - 1, bound)})"
        return self.rnd.choice([*self._names[Kind.STRING], quoted(self.rnd.choice(WORDS))])
