"""What a pass costs where there is much: 10,000 SKUs in 10 channels, 100,000 holds.

Run by name (`pytest -m soak -s tests/flow/test_reconcile_size.py`); it prints what it measured.
"""

import asyncio
import os
import time
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from engine.assurance.reconciling.reconciler import Reconciler
from engine.infra import keys
from engine.kernel.types import CellId
from tests.fault.engines import house

pytestmark = [pytest.mark.soak, pytest.mark.usefixtures("asked_for_soak")]


CELL = CellId("1")
SKUS, CHANNELS, HOLDS = 10_000, 10, 100_000
STEADY_S = 60
SEP = "\x1f"
pack = msgspec.msgpack.encode

FILL = """
SET synchronous_commit = off;
INSERT INTO pools (pool_id, cell, tenant, owner, sku, channel, granted, available, held, seq)
SELECT 'p' || n, '1', 'main', '', 's' || n % {skus}, 'c' || n / {skus}, 100, 99, 1, 1
FROM generate_series(0, {pools} - 1) AS n;
INSERT INTO grants (pool_id, seq, delta, reason, applied, log_id, sent_at)
SELECT 'p' || n, 1, 100, 'plan', 100, '1000-' || n, now() FROM generate_series(0, {pools} - 1) AS n;
INSERT INTO ledger (
  cell, log_id, n, kind, reference, pool_id, granted, owed, available, held, sold
)
SELECT '1', '1000-' || n, 0, 'granted', 'p' || n, 'p' || n, 100, 0, 100, 0, 0
FROM generate_series(0, {pools} - 1) AS n
UNION ALL
SELECT '1', '2000-' || n, 0, 'reserved', 'o' || n, 'p' || n, 0, 0, -1, 1, 0
FROM generate_series(0, {holds} - 1) AS n;
INSERT INTO orders (
  order_id, cell, tenant, channel, channel_order_id, campaign, buyer_id, kind, state,
  payment_state, stock_state, fulfilment_state, currency, payable, held_until, attempt, fingerprint,
  placed_at, accepted_at, log_id, actor, draws, counters, document
)
SELECT
  'o' || n, '1', 'main', 'c0', 'x' || n, 'd11', 'b' || n, 'sale', 'open', 'unpaid', 'held',
  'unrouted', 'CNY', 100, to_timestamp(9000000000), 1, 'v1:' || md5(n::text), now(), now(),
  '2000-' || n, 'key', jsonb_build_array(jsonb_build_array(1, 'p' || n, 1)), '[]',
  json_build_object('lines', json_build_array(json_build_object('sku', 's' || n, 'pad',
    repeat('x', 400))))
FROM generate_series(0, {holds} - 1) AS n;
INSERT INTO nodes (tenant, node, version, document, actor) VALUES ('main', 'N', 1, '{{}}', 't');
INSERT INTO skus (tenant, sku, owner, version, document, actor)
SELECT 'main', 's' || n, '', 1, '{{}}', 't' FROM generate_series(0, {skus} - 1) AS n;
INSERT INTO stock_keys (tenant, node, owner, sku, condition, batch)
SELECT 'main', 'N', '', 's' || n, 'good', '' FROM generate_series(0, {skus} - 1) AS n;
INSERT INTO stock_movements (
  tenant, key_id, reference, n, kind, quantity, locked, reason, actor, happened_at, applied
)
SELECT 'main', key_id, 'r', key_id, 'receipt', 1000, 0, '', 't', now(), true FROM stock_keys;
INSERT INTO stock_balances (key_id, changed) SELECT key_id, 1000 FROM stock_keys;
INSERT INTO supply_policies (
  tenant, policy, owner, sku, version, planned_version, published_version, document, planned, actor
)
SELECT 'main', 's' || n, '', 's' || n, 1, 1, 1, d.body, d.body, 't'
FROM generate_series(0, {skus} - 1) AS n
CROSS JOIN LATERAL (
  SELECT jsonb_build_object('sku', 's' || n, 'channels', jsonb_agg(
    jsonb_build_object('channel', 'c' || c, 'quota', 100))) AS body
  FROM generate_series(0, 9) AS c
) AS d;
INSERT INTO cell_rules (cell, field, version, body, applied)
SELECT '1', 'offer' || chr(31) || 'main' || chr(31) || chr(31) || 'c' || n / {skus}
  || chr(31) || 's' || n % {skus}, 1, '\\x00', true
FROM generate_series(0, {pools} - 1) AS n;
"""


async def fill(pg, valkey, state):
    """Write both sides as a sale would have left them."""
    await pg.execute(FILL.format(skus=SKUS, pools=SKUS * CHANNELS, holds=HOLDS))
    bodies = [pack([1, [[f"p{n}", -1]], 0, 0, 0, ""]) for n in range(SKUS * CHANNELS)]
    fields = [SEP.join(("offer", "main", "", f"c{n // SKUS}", f"s{n % SKUS}"))
              for n in range(SKUS * CHANNELS)]  # fmt: skip
    await pg.execute(
        "UPDATE cell_rules AS r SET body = t.body"
        " FROM unnest($1::text[], $2::bytea[]) AS t (field, body) WHERE r.field = t.field",
        fields, bodies,
    )  # fmt: skip
    await pg.execute("UPDATE cells SET last_id = $1", state.last_id)
    await pg.execute("VACUUM ANALYZE")
    until = 9_000_000_000_000
    for first in range(0, HOLDS, 2_000):
        some = range(first, first + 2_000)
        pipe = valkey.pipeline(transaction=False)
        pipe.hset(keys.of(CELL, "pools"), mapping={
            f"p{n}": pack([100, 0, 99, 1, 0, 1, "", 0]) for n in some
        })  # fmt: skip
        pipe.hset(keys.of(CELL, "rules"), mapping={
            fields[n]: bodies[n] for n in some
        })  # fmt: skip
        counted = {n: f"b{SEP}main{SEP}d11{SEP}s{n}{SEP}b{n}" for n in some}
        pipe.hset(keys.of(CELL, "counters"), mapping=dict.fromkeys(counted.values(), 1))
        pipe.hset(keys.of(CELL, "holds"), mapping={
            f"o{n}": pack([
                1, "P", 1, f"v1:{n:032}", "main", "c0", "d11", f"b{n}", "CNY", 100, until - 60_000,
                until, [[f"s{n}", 1, 100, ""]], [[1, f"p{n}", 1]], [[counted[n], 1, 1]], [], [], 0,
                1, [], [],
            ])
            for n in some
        })  # fmt: skip
        pipe.zadd(keys.of(CELL, "due"), {f"o{n}": until - 60_000 for n in some})
        await pipe.execute()


def cpu_s(pid):
    """Seconds of CPU that a process had, with those of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def everybody():
    """Seconds of CPU so far, of this process and of both servers."""
    return {
        name: sum(cpu_s(pid) for pid in pids if Path(f"/proc/{pid}").exists())
        for name, pids in pids_of().items()
    }


def pids_of():
    """This process, and those that it started, by what they are called."""
    parents, names = {}, {}
    for one in Path("/proc").iterdir():
        if one.name.isdigit():
            try:
                parents[int(one.name)] = int(
                    (one / "stat").read_text().rsplit(")", 1)[1].split()[1]
                )
                names[int(one.name)] = (one / "comm").read_text().strip()
            except OSError:
                continue
    found = {"reconciler": [os.getpid()], "valkey": [], "postgres": []}
    for pid, name in names.items():
        for server in ("valkey", "postgres"):
            if server in name and descends(pid, parents):
                found[server].append(pid)
    return found


def descends(pid, parents):
    while pid in parents and pid != os.getpid():
        pid = parents[pid]
    return pid == os.getpid()


async def test_a_pass_over_much(settings, pg, valkey):
    async with house(settings) as here:
        await here.worker("keeper", name="keeper")
        api = await here.api()
        for name in ("keeper", "api-1"):
            await here.stop(name)
        await fill(pg, valkey, await api.cell.refresh())
        reconciler = Reconciler(api.cell, api.process.pool, api.process.clock)
        took = []
        for _ in range(3):
            began, before = time.monotonic(), everybody()
            passed = await reconciler.check()
            seconds = time.monotonic() - began
            spent = {name: round(now - before[name], 2) for name, now in everybody().items()}
            assert (passed.drifts, passed.skipped) == ([], {})
            each = {name: round(one, 2) for name, one in passed.took_s.items()}
            took.append(sum(spent.values()))
            print(f"\na pass: {seconds:.2f} s, of CPU {spent}, by check {each}")  # noqa: T201
        # the same one goes on: the first pass of a process, which plans every SKU, is not steady
        running = asyncio.ensure_future(reconciler.run())
        before, began = everybody(), time.monotonic()
        await asyncio.sleep(STEADY_S)
        over = time.monotonic() - began
        share = {name: round((now - before[name]) / over * 100, 1)
                 for name, now in everybody().items()}  # fmt: skip
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        print(f"steady, % of a core over {over:.0f} s: {share}")  # noqa: T201
        assert share["reconciler"] < 5
        assert min(took) <= 5, "seconds of CPU, of all three"
