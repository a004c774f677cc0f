"""`reserve`: each verdict, in the order in which a claim is judged, and what it left behind."""

import pytest
from redis.asyncio import Redis

from engine.kernel import limits
from engine.kernel.errors import Closed
from tests.lua.builders import (
    COUNTERS,
    DRAWS,
    HOUR,
    LINES,
    STATE,
    TOTAL,
    World,
    campaign,
    channel,
    claim,
    key,
    line,
    offer,
)
from tests.lua.marketplace import snap, tmall


async def test_a_claim_takes_its_units(stocked: World) -> None:
    now = await stocked.now()
    (result,) = await stocked.reserve(claim("o1", line("A", 3), buyer="b1"))
    assert result == ["RESERVED", "P", now + 900_000, 300, []]
    assert await stocked.pool("p") == [10, 0, 7, 3, 0]
    assert await stocked.scores("due") == {"o1": now + 900_000}
    assert await stocked.scores("done") == {}
    assert await stocked.counters() == {"m/main/d11/b1": "o1"}
    assert (await stocked.hold("o1"))[DRAWS] == [[1, "p", 3]]
    assert await stocked.redis.hget(key("cell"), "accepted") == b"1"


async def test_the_log_says_all_that_a_rebuild_needs(stocked: World) -> None:
    now = await stocked.now()
    reply = await stocked.cell.call("reserve", [claim("o1")], [b"the order"], argument="0")
    entry_id, ((kind, order_id, at, moves, *rest),), payloads = (await stocked.entries())[-1]
    assert entry_id == reply.log_id
    assert (kind, order_id, at) == ("R", "o1", now)
    assert moves == [["p", 0, 0, -1, 1, 0]]
    assert rest[:4] == [1, "P", now + 900_000, now + 960_000]
    assert rest[4:10] == [[[1, "p", 1]], [], [], [], [], []]
    assert rest[10:18] == ["print", "main", "mall", "d11", "", "CNY", 100, "key-1"]
    assert rest[18:] == [1, [], "", ""]
    assert payloads == [b"the order"]


async def test_a_paid_claim_is_sold_at_once(stocked: World) -> None:
    paid = claim("o1", settle="paid", payment=["pay-1", 100, "CNY", "alipay", 0, "full", "k"])
    (result,) = await stocked.reserve(paid)
    assert result[:4] == ["RESERVED", "C", 0, 100]
    assert await stocked.pool("p") == [10, 0, 9, 0, 1]
    assert await stocked.scores("due") == {}
    assert await stocked.scores("done") == {
        "o/o1": await stocked.now() + limits.IDEMPOTENCY_KEEP_MS
    }


async def test_a_repeat_takes_nothing_and_gets_the_same_answer(stocked: World) -> None:
    first, twin, other = await stocked.reserve(
        claim("o1", buyer="b1"), claim("o1", buyer="b1"), claim("o1", fingerprint="other")
    )
    later = await stocked.reserve(claim("o1", buyer="b1"), claim("o1", fingerprint="other"))
    assert first[0] == "RESERVED"
    assert [twin, other] == later == [["REPEATED", *first[1:5]], ["CONFLICT"]]
    assert await stocked.pool("p") == [10, 0, 9, 1, 0]
    assert len(await stocked.events("R")) == 1


async def test_a_repeat_is_answered_before_pause_window_and_limits(stocked: World) -> None:
    await stocked.call("rule", offer("A", "p", limit=1, version=2))
    await stocked.reserve(claim("o1", buyer="b1"))
    await stocked.call("pause", ["main", "sku", "A", 1, "me", "x"])
    await stocked.call("rule", ([campaign(ends_at=5)[0], 2, [2, 0, 5, 0, 0, []]]))
    (again,) = await stocked.reserve(claim("o1", buyer="b1"))
    assert again[0] == "REPEATED"


async def test_a_refused_claim_may_be_tried_again(stocked: World) -> None:
    assert (await stocked.reserve(claim("o1", line("A", 11))))[0][0] == "SOLD_OUT"
    await stocked.grant("p", 1)
    assert (await stocked.reserve(claim("o1", line("A", 11))))[0][0] == "RESERVED"


async def test_a_claim_is_all_or_nothing(stocked: World) -> None:
    before = await stocked.dump()
    (result,) = await stocked.reserve(claim("o1", line("A", 1), line("B", 8)))
    assert result == ["SOLD_OUT", 2, 0, ["q", "shared"]]
    after = await stocked.dump()
    assert {one for one in after if after[one] != before.get(one)} <= {key("cell")}


async def test_the_same_sku_twice_in_one_order_is_summed(stocked: World) -> None:
    assert (await stocked.reserve(claim("o1", line("A", 6), line("A", 5))))[0][:2] == [
        "SOLD_OUT",
        2,
    ]
    assert (await stocked.reserve(claim("o2", line("A", 6), line("A", 4))))[0][0] == "RESERVED"
    assert await stocked.pool("p") == [10, 0, 0, 10, 0]


async def test_sold_out_says_empty_only_when_no_pool_has_a_unit(stocked: World) -> None:
    (own_lines,) = await stocked.reserve(claim("o1", line("A", 10), line("A", 1)))
    assert own_lines == ["SOLD_OUT", 2, 0, ["p"]], "its own first line is not taken after all"
    _, last = await stocked.reserve(claim("o2", line("A", 10)), claim("o3"))
    assert last == ["SOLD_OUT", 1, 1, ["p"]]


async def test_own_quota_first_then_shared_up_to_the_cap(stocked: World) -> None:
    await stocked.reserve(claim("o1", line("B", 4)))
    assert (await stocked.hold("o1"))[DRAWS] == [[1, "q", 2], [1, "shared", 2]]
    assert await stocked.counters() == {"c/shared/mall": "2"}
    assert (await stocked.reserve(claim("o2", line("B", 4))))[0] == [
        "SOLD_OUT",
        1,
        0,
        ["q", "shared"],
    ]
    assert (await stocked.reserve(claim("o3", line("B", 3))))[0][0] == "RESERVED"
    assert await stocked.counters() == {"c/shared/mall": "5"}


async def test_a_gift_that_is_short_is_dropped_with_its_money(stocked: World) -> None:
    await stocked.call("rule", offer("G", "q", limit=1))
    gift = line("G", 3, payable=7, on_short="drop")
    order = claim("o1", line("A"), gift, buyer="b1")
    await stocked.call("rule", offer("G", "q", limit=9, version=2))
    (result,) = await stocked.reserve(order)
    assert result[0] == "RESERVED"
    assert result[3:5] == [100, [2]]
    assert (await stocked.hold("o1"))[LINES] == [["A", 1, 100, ""], ["G", 0, 0, "drop"]]
    assert await stocked.pool("q") == [2, 0, 2, 0, 0]
    assert "b/main/d11/G/b1" not in await stocked.counters()
    assert (await stocked.reserve(order))[0] == ["REPEATED", "P", result[2], 100, [2]]


async def test_an_order_of_which_nothing_is_left_is_sold_out(stocked: World) -> None:
    await stocked.call("rule", offer("G", "q"))
    gift = line("G", 3, payable=7, on_short="drop")
    (result,) = await stocked.reserve(claim("o1", gift))
    assert result == ["SOLD_OUT", 1, 0, ["q"]]
    assert await stocked.pool("q") == [2, 0, 2, 0, 0]


async def test_a_price_below_the_floor_pauses_the_sku(stocked: World) -> None:
    await stocked.call("rule", offer("A", "p", floor=50, version=2))
    cheap, after = await stocked.reserve(claim("o1", line("A", 2, payable=99)), claim("o2"))
    assert cheap[0] == "RESERVED"
    assert (await stocked.events("R"))[0][13] == [1]
    assert after == ["PAUSED", "sku", 1]
    (event,) = await stocked.events("U")
    assert event[4:] == ["main", "A", 1, "floor_price", "o1"]
    exact = line("A", 2, payable=100)
    await stocked.call("pause", ["main", "sku", "A", 0, "me", "checked"])
    assert (await stocked.reserve(claim("o3", exact)))[0][0] == "RESERVED"


async def test_paused_not_started_and_ended(stocked: World) -> None:
    now = await stocked.now()
    await stocked.call(
        "rule",
        campaign("soon", starts_at=now + 1, ends_at=now + HOUR),
        campaign("now", starts_at=now, ends_at=now + 1),
        campaign("over", starts_at=0, ends_at=now),
        *(offer("A", "p", of=name) for name in ("soon", "now", "over")),
    )
    words = await stocked.reserve(
        *(claim(f"o-{name}", campaign=name) for name in ("soon", "now", "over", "unknown"))
    )
    assert words[0] == ["NOT_STARTED", now + 1]
    assert words[1][0] == "RESERVED"
    assert words[2] == ["ENDED", now]
    assert words[3] == ["UNKNOWN_SKU", 1]
    await stocked.call("pause", ["main", "campaign", "soon", 1, "me", ""])
    assert await stocked.reserve(claim("o5", campaign="soon")) == [["PAUSED", "campaign"]]


async def test_unknown_channel_or_sku(stocked: World) -> None:
    assert await stocked.reserve(
        claim("o1", line("A"), line("Z")), claim("o2", channel="nowhere")
    ) == [["UNKNOWN_SKU", 2], ["UNKNOWN_SKU", 1]]


async def test_everyday_sale_needs_no_campaign(stocked: World) -> None:
    await stocked.call("rule", offer("A", "p", of=""))
    assert (await stocked.reserve(claim("o1", campaign="")))[0][0] == "RESERVED"


async def test_a_limit_counts_over_orders_lines_and_channels(stocked: World) -> None:
    await stocked.call(
        "rule",
        channel("shop"),
        offer("A", "p", limit=3, version=2),
        offer("A", "p", channel="shop", limit=3),
    )
    words = await stocked.reserve(
        claim("o1", line("A", 2), buyer="b1"),
        claim("o2", line("A", 1), line("A", 1), buyer="b1", channel="shop"),
        claim("o3", line("A", 1), buyer="b1", channel="shop"),
        claim("o4", buyer="b1"),
        claim("o5", buyer="b2"),
        claim("o6"),
    )
    assert [word[0] for word in words] == [
        "RESERVED", "LIMIT_REACHED", "RESERVED", "LIMIT_REACHED", "RESERVED", "LIMIT_REACHED",
    ]  # fmt: skip
    assert words[1] == ["LIMIT_REACHED", 2, 3, 3]
    assert words[5] == ["LIMIT_REACHED", 1, 3, -1], "whoever has a limit must say who he is"
    assert (await stocked.counters())["b/main/d11/A/b1"] == "3"


@pytest.mark.parametrize(
    ("limit", "fits", "exceeds"),
    [
        (["campaign", "buyer_id", 3, "units"], [line("A", 2), line("B", 1)], [line("A")]),
        (["campaign", "buyer_id", 1, "orders"], [line("A", 9)], [line("B")]),
        (["sku", "buyer_id", 2, "units"], [line("A", 2), line("B", 2)], [line("B")]),
        (["sku", "buyer_id", 1, "orders"], [line("A", 2), line("A", 2)], [line("A")]),
        (["campaign", "phone", 2, "units"], [line("A", 2)], [line("B")]),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value[0], str) else "",
)
async def test_each_kind_of_limit(stocked: World, limit: list, fits: list, exceeds: list) -> None:
    await stocked.call("rule", [campaign()[0], 2, [2, 0, 10**13, 0, 0, [limit]]])
    who = {"buyer": "b1", "buyer_keys": [["phone", "hash"]]}
    (first,) = await stocked.reserve(claim("o1", *fits, **who))
    (second,) = await stocked.reserve(claim("o2", *exceeds, **who))
    assert first[0] == "RESERVED"
    assert second[0] == "LIMIT_REACHED"
    await stocked.call("release", ["o1", "x", "cancel", "", "k", []])
    assert (await stocked.reserve(claim("o2", *exceeds, **who)))[0][0] == "RESERVED"


async def test_a_refusal_counts_nothing(stocked: World) -> None:
    await stocked.call("rule", offer("A", "p", limit=20, version=2))
    assert (await stocked.reserve(claim("o1", line("A", 11), buyer="b1")))[0][0] == "SOLD_OUT"
    assert await stocked.counters() == {}


async def test_a_new_claim_replaces_the_unpaid_one_if_it_says_so(stocked: World) -> None:
    await stocked.call("rule", offer("A", "p", limit=10, version=2))
    await stocked.reserve(claim("o1", line("A", 10), buyer="b1"))
    plain, replacing = await stocked.reserve(
        claim("o2", line("A", 4), buyer="b1"), claim("o3", line("A", 4), buyer="b1", replace=1)
    )
    assert plain[0] == "LIMIT_REACHED"
    assert replacing[0] == "RESERVED"
    assert await stocked.pool("p") == [10, 0, 6, 4, 0]
    assert await stocked.counters() == {"b/main/d11/A/b1": "4", "m/main/d11/b1": "o3"}
    old = await stocked.hold("o1")
    assert (old[STATE], old[DRAWS], old[COUNTERS]) == ("R", [], [])
    assert (await stocked.events("R"))[-1][24] == "o1"
    assert await stocked.scores("done") != {}


async def test_a_refused_replacement_leaves_the_old_hold_as_it_was(stocked: World) -> None:
    await stocked.call("rule", offer("A", "p", limit=30, version=2))
    await stocked.reserve(claim("o1", line("A", 10), buyer="b1"))
    before = await stocked.dump()
    (result,) = await stocked.reserve(claim("o2", line("A", 11), buyer="b1", replace=1))
    assert result == ["SOLD_OUT", 1, 1, ["p"]], "empty, for the old hold keeps its units"
    assert await stocked.dump() == before


async def test_a_refused_replacement_leaves_an_ended_pool_as_it_was(stocked: World) -> None:
    await stocked.reserve(claim("o1", line("A", 10), buyer="b1"))
    await stocked.call("move", ["m1", "p", "q", -1, 1, "over"])
    before = await stocked.dump()
    (result,) = await stocked.reserve(claim("o2", line("A", 1), buyer="b1", replace=1))
    assert result == ["SOLD_OUT", 1, 1, ["p"]]
    assert await stocked.unpacked("pools") == {
        "p": [10, 0, 0, 10, 0, 1, "q", 1],
        "q": [2, 0, 2, 0, 0, 1, "", 0],
        "shared": [100, 0, 100, 0, 0, 1, "", 0],
    }
    assert await stocked.dump() == before
    _, other = await stocked.reserve(
        claim("o3", line("A", 1), buyer="b1", replace=1), claim("o4", line("B", 3), buyer="b2")
    )
    assert other[0] == "RESERVED"
    assert await stocked.pool("p") == [10, 0, 0, 10, 0]


async def test_replacements_in_one_batch_follow_each_other(stocked: World) -> None:
    results = await stocked.reserve(
        *(claim(f"o{n}", line("A", 9), buyer="b1", replace=1) for n in range(4))
    )
    assert [result[0] for result in results] == ["RESERVED"] * 4
    assert await stocked.pool("p") == [10, 0, 1, 9, 0]
    assert [(await stocked.hold(f"o{n}"))[STATE] for n in range(4)] == ["R", "R", "R", "P"]


async def test_a_marketplace_order_is_never_replaced(stocked: World) -> None:
    await stocked.call(
        "rule", tmall(), offer("A", "p", of="", channel="tmall"),
        offer("A", "p", of=""),
    )  # fmt: skip
    await stocked.sync(snap("o1", 1, 0, campaign="", buyer="b1"))
    await stocked.reserve(claim("o2", campaign="", buyer="b1", replace=1))
    assert (await stocked.hold("o1"))[STATE] == "P"
    assert await stocked.pool("p") == [10, 0, 8, 2, 0]


@pytest.mark.parametrize("authority", ["external", "record"])
async def test_what_a_marketplace_has_sold_already_is_not_asked_for(
    stocked: World, authority: str
) -> None:
    await stocked.call("rule", tmall(authority=authority), offer("A", "p", channel="tmall"))
    before = await stocked.dump()
    assert await stocked.reserve(claim("o1", channel="tmall")) == [["WRONG_CALL"]]
    after = await stocked.dump()
    assert {**after, key("cell"): 0} == {**before, key("cell"): 0}


@pytest.mark.parametrize(
    ("over", "expected"),
    [
        ({}, (900_000, 60_000)),
        ({"method": "bank"}, (5_000, 60_000)),
        ({"campaign": "quick"}, (1_000, 100)),
        ({"campaign": "quick", "method": "bank"}, (5_000, 100)),
    ],
    ids=["channel", "method", "campaign", "method in a campaign"],
)
async def test_the_deadline_is_by_method_else_campaign_else_channel(
    stocked: World, over: dict, expected: tuple[int, int]
) -> None:
    await stocked.call(
        "rule",
        [channel()[0], 2, [2, "gate", 900_000, 60_000, {"bank": 5_000}]],
        campaign("quick", hold_ms=1_000, grace_ms=100),
        offer("A", "p", of="quick"),
    )
    now = await stocked.now()
    await stocked.reserve(claim("o1", **over))
    hold = await stocked.hold("o1")
    assert (hold[10] - now, hold[11] - hold[10]) == expected


async def test_the_largest_call(world: World) -> None:
    """256 claims with 1,000 lines, each over two pools and with two limits."""
    sizes = [4] * 255
    sizes = [size - (1 if n < 25 else 0) for n, size in enumerate(sizes)]
    sizes.append(limits.LINES_PER_CALL_MAX - sum(sizes))
    assert len(sizes) == limits.CLAIMS_PER_CALL_MAX
    assert sum(sizes) == limits.LINES_PER_CALL_MAX
    skus = [f"S{n}" for n in range(limits.LINES_PER_CALL_MAX)]
    for first in range(0, len(skus), 250):
        some = skus[first : first + 250]
        for pool in ("own", "all"):
            await world.call("grant", *([f"{pool}-{sku}", 1, 1, "load", "ref"] for sku in some))
        await world.call(
            "rule", *(offer(sku, f"own-{sku}", (f"all-{sku}", 1), limit=2) for sku in some)
        )
    named = iter(skus)
    claims = [
        claim(f"o{n}", *(line(next(named), 2) for _ in range(size)), buyer=f"b{n}")
        for n, size in enumerate(sizes)
    ]
    results = await world.reserve(*claims)
    assert {result[0] for result in results} == {"RESERVED"}
    assert len(await world.events("R")) == limits.CLAIMS_PER_CALL_MAX
    pays = [[f"o{n}", f"c{n}", "cancel", "", "k", []] for n in range(len(claims))]
    assert {r[0] for r in await world.call("release", *pays)} == {"RELEASED"}
    assert await world.counters() == {}


async def test_the_largest_order(world: World) -> None:
    skus = [f"S{n}" for n in range(limits.LINES_PER_ORDER_MAX)]
    await world.call("grant", *([sku, 1, 5, "load", "ref"] for sku in skus))
    await world.call("rule", *(offer(sku, sku) for sku in skus))
    (result,) = await world.reserve(claim("o1", *(line(sku, 2) for sku in skus)))
    assert result[0] == "RESERVED"
    assert len((await world.hold("o1"))[DRAWS]) == limits.LINES_PER_ORDER_MAX


async def test_ids_and_money_keep_every_digit(stocked: World) -> None:
    huge, order_id = limits.AMOUNT_MAX, "9" * 40
    (result,) = await stocked.reserve(claim(order_id, line("A", 1, payable=huge)))
    assert result[3] == huge
    assert (await stocked.hold(order_id))[TOTAL] == huge
    assert (await stocked.events("R"))[-1][20] == huge


async def test_memory_is_refused_before_anything_is_changed(stocked: World, valkey: Redis) -> None:
    before = await stocked.dump()
    limit = (await valkey.config_get("maxmemory"))["maxmemory"]
    await valkey.config_set("maxmemory", "1mb")
    try:
        with pytest.raises(Closed):
            await stocked.reserve(claim("o1"))
        assert await stocked.dump() == before
    finally:
        await valkey.config_set("maxmemory", limit)
    assert (await stocked.reserve(claim("o1")))[0][0] == "RESERVED"


async def test_a_call_may_be_flushed_from_the_servers_memory(stocked: World) -> None:
    for n in range(3):
        await stocked.redis.script_flush()
        assert (await stocked.reserve(claim(f"o{n}")))[0][0] == "RESERVED"


async def test_bytes_that_are_no_claims_change_nothing(stocked: World) -> None:
    before = await stocked.dump()
    with pytest.raises(Closed):
        await stocked.call("reserve", "no claim")
    assert await stocked.dump() == before


async def test_a_split_below_the_floor_is_named_and_pauses_its_sku(stocked: World) -> None:
    await stocked.call("rule", offer("A", "p", floor=100, version=2))
    await stocked.reserve(claim("cart", line("A", 2), buyer="b1"))
    (answer,) = await stocked.reserve(
        claim("part", line("A", 1, payable=1), buyer="b1", split_from="cart")
    )
    assert (answer[0], (await stocked.events("R"))[-1][13]) == ("RESERVED", [1])
    (refused,) = await stocked.reserve(claim("next", line("A", 1)))
    assert refused[0] == "PAUSED"
