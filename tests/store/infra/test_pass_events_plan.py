"""What `pass_events` reads where nothing lies between: the index from where the reader stands."""

from engine.infra import outbox


async def test_a_reader_that_is_near_the_end_does_not_read_all_events(pg):
    for _ in range(40):
        await pg.execute(
            "INSERT INTO events (at, kind, data)"
            " SELECT now(), 'a', '{}' FROM generate_series(1, 500)"
        )
    await pg.execute("ANALYZE events")
    end = await outbox.end(pg)
    await outbox.pass_over(pg, "one", end)
    await pg.fetch("SELECT pg_current_xact_id()")
    end = await outbox.end(pg)
    for mode in ("force_custom_plan", "force_generic_plan"):
        await pg.execute(f"SET plan_cache_mode = {mode}")
        async with pg.transaction():
            sql = outbox.SQL["pass_events"]
            rows = await pg.fetch("EXPLAIN (ANALYZE, BUFFERS, VERBOSE) " + sql, "one", end)
        plan = "\n".join(row[0] for row in rows)
        assert "Rows Removed by" not in plan, plan
        assert "Seq Scan on public.events" not in plan, plan
