"""A policy that takes from a marketplace: the units go once it confirmed, once, and for good."""

import msgspec

from tests.conftest import eventually
from tests.fault.marketplace import TMALL, open_shops, pools_of
from tests.flow.test_publications import LINKS, acked, becomes, listed, settled

NODE = {"name": "N", "kind": "DC", "controlled_by": "us"}


def policy(units):
    return {"sku": "A", "channels": [{"channel": TMALL, "quota": units}, {"channel": "mall"}]}


async def test_what_a_policy_leaves_behind_is_drained_once(here):
    api = await here.api()
    await open_shops(api, ({"channel": TMALL}, {"channel": "mall", "authority": "gate"}))
    for path, body in (
        ("nodes/N", NODE),
        ("skus/A", {"name": "A"}),
        ("supply-policies/A", policy(80)),
    ):
        answer = await api.call("PUT", f"/v1/{path}", body)
        assert answer.status == 201, answer.document
    line = {"node": "N", "sku": "A", "quantity": 100}
    body = {"reference": "r1", "kind": "receipt", "lines": [line]}
    assert (await api.call("POST", "/v1/inventory/movements", body)).status == 200
    await listed(api, LINKS[0], LINKS[1])
    await settled(api, lag_seconds=0)

    async def free():
        rows = await api.process.pool.fetch("SELECT pool_id, channel FROM pools")
        names = {row["pool_id"]: row["channel"] for row in rows}
        return {names[pool]: one[2] for pool, one in (await pools_of(api)).items()}

    async def has(**units):
        assert {name or "shared": n for name, n in (await free()).items() if n} == units
        return True

    await eventually(lambda: has(tmall=80, shared=20), within_s=10)
    etag = (await api.call("GET", "/v1/supply-policies/A")).headers["ETag"]
    answer = await api.call("PUT", "/v1/supply-policies/A", policy(50), If_Match=etag)
    assert answer.status == 200, answer.document
    await becomes(api, one=70, pair=35)  # fifty of its own, twenty shared
    assert await has(tmall=80, shared=20), "it has not confirmed"
    await acked(api)
    await eventually(lambda: has(tmall=50, shared=50), within_s=10)
    pool = api.process.pool
    await eventually(lambda: pool.fetchval("SELECT count(*) = 0 FROM pool_excess"), within_s=10)
    await eventually(lambda: pool.fetchval("SELECT count(*) = 0 FROM stock_changes"), within_s=10)
    assert await pool.fetchval("SELECT count(*) FROM drains") == 1
    assert await has(tmall=50, shared=50)
    states = await pool.fetch("SELECT data FROM events WHERE kind = 'drain_requested'")
    assert [msgspec.json.decode(row["data"])["reason"] for row in states] == ["supply_policy"]
