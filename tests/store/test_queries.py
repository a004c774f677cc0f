"""Every named statement of every slice, prepared against the migrated schema: drift fails here."""

from pathlib import Path

import asyncpg

import engine
from engine.infra import queries

ROOT = Path(engine.__file__).parent
STATEMENTS = {
    f"{path.parent.relative_to(ROOT)}: {name}": sql
    for path in sorted(ROOT.rglob("queries.sql"))
    for name, sql in queries.parse(path.read_text(encoding="utf-8")).items()
}


async def test_every_statement_fits_the_schema(pg):
    assert "infra/http: live_keys" in STATEMENTS
    failures = {}
    for name, sql in STATEMENTS.items():
        try:
            await pg.prepare(sql)
        except asyncpg.PostgresError as error:
            failures[name] = str(error)
    assert failures == {}


async def test_a_statement_that_does_not_fit_is_noticed(pg):
    """The control: preparing really looks at the schema."""
    try:
        await pg.prepare("SELECT no_such_column FROM skus")
    except asyncpg.UndefinedColumnError:
        return
    raise AssertionError("Postgres prepared nonsense")
