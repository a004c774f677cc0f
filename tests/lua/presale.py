"""Claims, payments and deadlines of a campaign that sells on deposit, as `presale` sets it."""

from tests.lua.builders import World, campaign, claim, line, payment

HOLD, GRACE = 900_000, 60_000  # of the channel of the builders


async def deadlines(world: World) -> tuple[list[int], list[int]]:
    """Of a deposit and of the balance of what is reserved now: pay_by and held_until."""
    now, end = await world.now(), (await world.unpacked("rules"))[campaign()[0]][6]
    return [now + HOLD, now + HOLD + GRACE], [end, end + GRACE]


async def deposit(world: World, order_id: str = "o1", amount: int = 60, paid: str = "d") -> list:
    (word,) = await world.call("confirm", payment(order_id, paid, amount))
    return word


def two(order_id: str = "o1", **over: object) -> list:
    return claim(order_id, line("A", 2), line("B"), buyer="b1", **over)
