"""For each script, a call that really writes, and the cell in which it does so."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from engine.infra import scripts
from engine.kernel import limits
from tests.lua.builders import (
    DATABASE,
    DAY,
    KEYS,
    World,
    asked,
    campaign,
    cancel,
    channel,
    claim,
    grants,
    key,
    line,
    offer,
    pack,
    payment,
    promised,
)
from tests.lua.marketplace import snap, tmall

ORDERS = ("pending", "other", "paid", "expired", "overdue")


@dataclass(frozen=True)
class Scene:
    """One call; `prepare` is what only this one needs before it."""

    script: str
    claims: list[Any]
    prepare: Callable[[World], Awaitable[None]] | None = None
    argument: str = "0"
    epoch: int = 1
    payloads: tuple[bytes, ...] = ()

    def arguments(self, *, epoch: int | None = None, argument: str | None = None) -> list[Any]:
        """What the server gets after the keys."""
        return [
            self.epoch if epoch is None else epoch,
            self.argument if argument is None else argument,
            pack(self.claims),
            *self.payloads,
        ]


async def setting(world: World) -> None:
    """One cell for all scenes: orders in every state, an offer of two pools, a deadline due."""
    await world.open()
    await world.advance(10_000_000)
    await world.call(
        "rule",
        channel(by_method={"fast": 1_000}),
        tmall(),
        campaign(limits=[["campaign", "buyer_id", 50, "units"]]),
        offer("A", "p", limit=20, floor=50),
        offer("B", "q", ("shared", 9)),
    )
    for pool, units in (("p", 20), ("q", 2), ("shared", 100)):
        await world.grant(pool, units)
    both = (line("A", 2), line("B", 3))
    await world.reserve(claim("expired", line("A"), buyer="b4", method="fast"))
    await world.advance(DAY)
    await world.call("expire", 10)
    await world.reserve(
        claim("pending", *both, buyer="b1"),
        claim("other", *both, buyer="b2"),
        claim("paid", settle="paid", buyer="b3"),
        claim("overdue", line("B"), buyer="b5", method="fast"),
    )
    await world.advance(100_000)


async def _many_pools(world: World) -> None:
    for first in range(0, 2 * limits.POOLS_PER_CHECKPOINT_PART, 250):
        await world.call("grant", *grants(**{f"many-{n}": 1 for n in range(first, first + 250)}))


async def _restoring(world: World) -> None:
    await world.cell.call("open", [DATABASE, "0-0"], argument="restoring", epoch=2)


async def _moving(world: World) -> None:
    now = await world.now()
    await world.redis.hset(key("cell"), mapping={"shift_from": now - DAY, "shift_to": now + DAY})


async def _forgettable(world: World) -> None:
    await world.call("rule", [campaign()[0], 2, [2, 0, 1, 0, 0, []]])
    await world.call("return", ["old", "paid", [["p", 1]]])
    await world.advance(8 * DAY)


async def _presale(world: World) -> None:
    """One that waits for its deposit, one that waited too long and whose pool has ended since."""
    deposits = {"of": "pre", "deposit": 30}
    await world.call(
        "rule",
        campaign("pre", balance_by=await world.now() + 9 * DAY),
        offer("A", ("old", 9), **deposits),
        offer("B", "q", ("shared", 9), **deposits),
    )
    await world.call("grant", *grants(old=9))
    both = (line("A", 2), line("B"))
    late = claim("late", *both, campaign="pre", buyer="b6", method="fast")
    await world.reserve(late, claim("staged", *both, campaign="pre", buyer="b7"))
    await world.advance(100_000)
    await world.call("expire", 10)
    await world.call("move", ["m0", "old", "p", -1, 1, "over"])


async def _plain(world: World) -> None:
    await world.call("rule", campaign("plain"), offer("A", "p", of="plain", limit=2))


async def _queued(world: World) -> None:
    await world.call("rule", campaign("busy", room=[10, 60_000, "key"]))


async def _marketplace(world: World) -> None:
    """Two of its orders are known: one that is owed units, one that is paid."""
    await world.call(
        "rule",
        tmall(expires_by="us"),
        offer("A", ("p", 30), floor=50, channel="tmall"),
        offer("B", "q", ("shared", 9), channel="tmall"),
    )
    await world.sync(
        snap("theirs", 1, 0, line("A", 2), line("B", 20)),
        snap("their other", 0, 3, line("A", 2)),
    )


async def _marketplace_restoring(world: World) -> None:
    await _marketplace(world)
    await _restoring(world)


async def _bent(world: World) -> None:
    """As a bug would leave it: a counter, a number of grants and the sweeper's list."""
    pool = (await world.unpacked("pools"))["p"]
    await world.redis.hset(key("pools"), "p", pack([*pool[:5], 7, *pool[6:]]))
    await world.redis.hset(key("counters"), "b/x", 3)
    await world.redis.zadd(key("due"), {"nobody": 5})


async def _wiped(world: World) -> None:
    await world.cell.call("wipe", [DATABASE, "0-0", 0], argument="0", epoch=2)


# a part of a rebuild: one of each section, and what ends it
VALUES = tuple(b"p pool o1 hold 5 o1 rule body m o1 c 3 r\x1fr1 4 9 r\x1fr1".split(b" "))
PART = [1, [2] * 8, [1, 5, "", ""]]
# an order of two units of A, paid, that Postgres knows and the cell has forgotten
FORGOTTEN = [
    1, "C", 1, "v1", "main", "tmall", "d11", "", "CNY", 200, 0, 0, [["A", 2, 200, ""]],
    [[1, "p", 1], [1, "p", 1]], [], [], [], 0, 1, [], [], [], 0, "1", 3, [""], [], [], [],
]  # fmt: skip
RESERVE = [
    claim("new", line("A", 1, payable=1), line("B"), buyer="b1", replace=1),
    claim("settled", line("B"), settle="cod"),
    claim("pending", line("A", 2), line("B", 3), buyer="b1"),
]
# a campaign without a limit: its claims of one line are plain, and come as columns
PLAIN, PLAIN_PAYLOADS = asked(
    [claim("new", buyer="b1", campaign="plain"), claim("newer", buyer="b9", campaign="plain")],
    [b"{}"] * 2,
)
SPLIT = [
    claim("part", line("A"), line("B", 2), buyer="b2", split_from="other"),
    claim("rest", line("B"), line("A"), buyer="b2", split_from="other"),
]
SCENES = {
    "checkpoint": Scene("checkpoint", ["cp1"], _many_pools),
    "close": Scene("close", ["why"]),
    "confirm": Scene("confirm", [payment("pending", amount=500), payment("paid", "second")]),
    "confirm, a deposit": Scene("confirm", [payment("staged", amount=90)], _presale),
    "expire": Scene("expire", [10]),
    "extend": Scene("extend", [10], _moving),
    "grant": Scene("grant", [*grants(new=5), ["p", 2, -3, "load", "ref"]]),
    "mend": Scene("mend", [["counter", "b/x", 3, 0], ["seq", "p", 7, 1], ["due", "nobody"]], _bent),
    "move": Scene("move", [["m1", "p", "q", -1, 1, "over"], ["m2", "shared", "q", 1, 0, ""]]),
    "open": Scene("open", [DATABASE, "0-0"], None, "restoring", 2),
    "open, second step": Scene("open", [DATABASE, "0-0"], _restoring, "open", 2),
    "pause": Scene("pause", [["main", "sku", "B", 1, "me", ""], ["main", "sku", "A", 1, "me", ""]]),
    "prune": Scene("prune", [10], _forgettable),
    "rehold": Scene("rehold", [payment("expired"), payment("other", amount=500)]),
    "rehold, a deposit": Scene(
        "rehold", [payment("late", amount=90), payment("staged", amount=90)], _presale
    ),
    "release": Scene("release", [cancel("pending"), cancel("other", "c2", [2, 2])]),
    "reserve": Scene("reserve", RESERVE, payloads=(b"{}",) * 3),
    "reserve, plain": Scene("reserve", PLAIN, _plain, payloads=tuple(PLAIN_PAYLOADS)),
    "reserve, split": Scene("reserve", SPLIT, payloads=(b"{}",) * 2),
    "restore": Scene(
        "restore", [promised(one, 5, 3) for one in RESERVE], _restoring, "0", 2, (b"{}",) * 3
    ),
    "restore, split": Scene(
        "restore", [promised(one, 5, 3) for one in SPLIT], _restoring, "0", 2, (b"{}",) * 2
    ),
    "return": Scene("return", [["r1", "paid", [["p", 1]]]]),
    "rule": Scene("rule", [offer("A", "q", version=2), [offer("B")[0], 2, []]]),
    "rebuild": Scene("rebuild", PART, _wiped, "0", 2, VALUES),
    "wipe": Scene("wipe", [DATABASE, "1-7", 5], None, "0", 2),
    "ticket": Scene("ticket", [["main", "busy", "b1", ""], ["main", "busy", "b2", ""]], _queued),
    "trim": Scene("trim", ["9999999999999-0"]),
}
CHANGES = [
    snap("theirs", 2, 1, line("A", 1, 1), line("B", 4)),
    snap("their other", 1, 5),
    snap("revived", 2, 2, line("A"), recalled=FORGOTTEN),
    snap("unheard of", 1, 0, line("A", 30), line("B"), line("", 1)),
]
SCENES |= {
    "sync": Scene("sync", CHANGES, _marketplace, payloads=(b"{}",) * 4),
    "resync": Scene("resync", CHANGES, _marketplace_restoring, "0", 2, (b"{}",) * 4),
}
assert {scene.script for scene in SCENES.values()} == set(scripts.names())

_WATCH = """\
local watched, failing = 0, tonumber(ARGV[#ARGV])
local redis = setmetatable({
  call = function(...)
    watched = watched + 1
    if watched == failing then
      error({ err = "INJECTED read " .. ... })
    end
    return redis.call(...)
  end,
  pcall = function(...)
    watched = watched + 1
    if watched == failing then
      return { err = "INJECTED write " .. ... }
    end
    return redis.pcall(...)
  end,
}, { __index = redis })
"""


def failing(script: str) -> str:
    """The script, with the call fail whose number its last argument gives."""
    first, rest = scripts.source(script).split("\n", 1)
    return f"{first}\n{_WATCH}{rest}"


def documented_keys(script: str) -> list[str]:
    """The keys as every script takes them; those its header does not name are misnamed."""
    header = scripts.source(script).split("]]", 1)[0]
    named = {int(number) for number in re.findall(r"^KEYS\[(\d)\]", header, re.MULTILINE)}
    return [
        one if number in named else f"undocumented:{{c1}}:{number}"
        for number, one in enumerate(KEYS, 1)
    ]


async def snapshot(world: World) -> dict[bytes, bytes]:
    """What `rewind` needs."""
    return {one: await world.redis.dump(one) for one in await world.redis.keys("*")}


async def rewind(world: World, to: dict[bytes, bytes]) -> None:
    """Bring everything back to a dump."""
    await world.redis.flushall()
    for one, packed in to.items():
        await world.redis.restore(one, 0, packed)
