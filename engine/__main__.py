"""The `tidegate` command.

Imports are inside the commands, so that `--help` answers in a quarter of a second (aiohttp and
redis alone cost more than that), and after the settings, so that a refusal is as quick. Data goes
to stdout, everything else to stderr. Exit codes: 0 ok, 1 failed, 2 usage, 3 something that must be
there is missing, 99 a bound on speed was breached.
"""

import sys
from pathlib import Path
from typing import Annotated, Final, Never

import typer

from engine import settings as settings_of
from engine.kernel.errors import EngineError, Misconfigured, NotInstalled
from engine.settings import Settings

FAILED: Final = 1
USAGE: Final = 2
MISSING: Final = 3
INTERRUPTED: Final = 130

app = typer.Typer(
    name="tidegate",
    help="The order engine behind a brand's sales days: nothing sold twice, no order lost.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
config = typer.Typer(no_args_is_help=True, help="Look at the settings.")
stock = typer.Typer(no_args_is_help=True, help="Stock of the running instance.")
key = typer.Typer(no_args_is_help=True, help="API keys of the running instance.")
order = typer.Typer(no_args_is_help=True, help="Look at one order.")
imports = typer.Typer(no_args_is_help=True, help="Bring tables of your own into the instance.")
elastic = typer.Typer(no_args_is_help=True, help="Lend units between shops during a sale.")
cell = typer.Typer(no_args_is_help=True, help="The cell: is it open, close it, open it again.")
drills = typer.Typer(no_args_is_help=True, help="Rehearse a loss, with a pass or a fail.")
shadow = typer.Typer(no_args_is_help=True, help="Look at what another system did beside this one.")
route = typer.Typer(no_args_is_help=True, help="Try a routing plan before it counts.")
dlq = typer.Typer(no_args_is_help=True, help="What was given up: look at it, and try it again.")
exceptions = typer.Typer(no_args_is_help=True, help="What waits for a person, and its remedies.")
app.add_typer(config, name="config")
app.add_typer(key, name="key")
app.add_typer(stock, name="stock")
app.add_typer(order, name="order")
app.add_typer(imports, name="import")
app.add_typer(elastic, name="elastic")
app.add_typer(cell, name="cell")
app.add_typer(drills, name="drill")
app.add_typer(shadow, name="shadow")
app.add_typer(route, name="route")
app.add_typer(dlq, name="dlq")
app.add_typer(exceptions, name="exceptions")

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would become of the rows.")]
Rejected = Annotated[
    Path | None,
    typer.Option(dir_okay=False, help="Write rejected rows there, with line and reason."),
]
ChannelOfRows = Annotated[str, typer.Option("--channel", help="Of rows that name none.")]
Ephemeral = Annotated[
    bool, typer.Option("--ephemeral", help="Servers in a temporary directory, removed at the end.")
]


def main() -> None:
    """Run one command; a refusal is one sentence and an exit code, not a traceback."""
    from engine.infra.servers.errors import Missing

    try:
        app()
    except (Missing, NotInstalled) as missing:
        _fail(str(missing), MISSING)
    except (Misconfigured, EngineError) as refusal:
        _fail(str(refusal), FAILED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


@app.command()
def up(
    *,
    ephemeral: Ephemeral = False,
    port: Annotated[
        int | None, typer.Option(help="HTTP port; 0 takes any free one.", min=0, max=65_535)
    ] = None,
) -> None:
    """Start servers, API and worker here; stop them with Ctrl-C."""
    from engine.infra.servers.up import run

    settings = _settings(ephemeral=ephemeral or None, http_port=port)
    run(settings, _say, typer.echo)


@app.command()
def api() -> None:
    """Run one API process over the running instance or the given URLs."""
    settings = _attached()
    from engine.app import run_api

    raise typer.Exit(run_api(settings))


@app.command()
def worker(
    *,
    role: Annotated[
        list[str] | None, typer.Option(help="Only this role; give it again for more.")
    ] = None,
) -> None:
    """Run one worker process: recorder, sweeper and the others, or only some of them."""
    settings = _attached()
    from engine.app import run_worker

    raise typer.Exit(run_worker(settings, role or []))


@app.command()
def migrate() -> None:
    """Bring the database to the schema of this version."""
    settings = _attached(valkey=False)
    import asyncio

    from engine.infra.migrate import migrate as bring

    for name in asyncio.run(bring(settings.database_url or "")):
        _say(f"applied {name}")


@app.command()
def verify(*, as_json: Json = False) -> None:
    """Prove that nothing was oversold, lost or doubled; exit 0 only if the certificate holds."""
    settings = _attached()
    from engine.app import verify as prove

    raise typer.Exit(prove(settings, as_json))


@app.command()
def reconcile(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what does not agree; write nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare all that must agree and repair what is safe; exit 0 only if nothing is left open."""
    settings = _attached()
    from engine.app import reconcile as compare

    raise typer.Exit(compare(settings, dry_run=dry_run, as_json=as_json, say=_say))


@app.command()
def demo(
    *,
    orders: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Replay these order lines.")
    ] = None,
    ephemeral: Ephemeral = False,
    as_json: Json = False,
) -> None:
    """Run a flash sale here and prove it."""
    from engine.simulation.demo import run

    raise typer.Exit(run(_settings(ephemeral=ephemeral or None), orders, as_json))


@app.command()
def bench(  # noqa: PLR0913 - each is an option
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="In under 90 s: fewer loads, fewer orders.")
    ] = False,
    only: Annotated[
        list[str] | None, typer.Option(help="Only this load; again, or by commas, for more.")
    ] = None,
    pairs: Annotated[int | None, typer.Option(min=1, help="Measurements of each load.")] = None,
    orders: Annotated[int | None, typer.Option(min=1, help="Orders a measurement.")] = None,
    against: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="A report kept from --json; exit 99 if slower by 15 %."),
    ] = None,
    filled: Annotated[
        int | None,
        typer.Option(
            min=1_000, help="Measure, record so many orders, measure again; with --ephemeral."
        ),
    ] = None,
    ephemeral: Ephemeral = False,
    as_json: Json = False,
) -> None:
    """Measure what an order costs here, against a bare handler and a row lock."""
    from engine.simulation.bench.run import Options, run

    options = Options(quick, tuple(only or ()), pairs, orders, against, filled)
    raise typer.Exit(run(_settings(ephemeral=ephemeral or None), options, as_json=as_json))


Reason = Annotated[str, typer.Option(help="Why; it is kept as an event.")]


@cell.command("show")
def cell_show(*, as_json: Json = False) -> None:
    """Say whether the cell is open, if not why, and what to do; exit 0 only if it is open."""
    settings = _attached()
    from engine.app import cell_show as show

    raise typer.Exit(show(settings, as_json=as_json))


@cell.command("close")
def cell_close(*, reason: Reason) -> None:
    """Take no more orders until somebody opens the cell again."""
    settings = _attached()
    from engine.app import cell_close as close

    raise typer.Exit(close(settings, reason, _say))


@cell.command("open")
def cell_open(
    *,
    reason: Reason,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Make the cell anew from what Postgres has.")
    ] = False,
) -> None:
    """Open a cell that stays closed, once what closed it is understood; exit 0 only if it is open.

    Its pools are compared with Postgres; if they differ, it is closed again.
    """
    settings = _attached()
    from engine.app import cell_open as open_again

    raise typer.Exit(open_again(settings, reason, _say, rebuild=rebuild))


@drills.command("compare")
def drill_compare(
    a: Annotated[str, typer.Argument(help="A run's folder, or several with commas between them.")],
    b: Annotated[str, typer.Argument(help="The same, of what is compared with it.")],
    *,
    force: Annotated[bool, typer.Option("--force", help="Even if their loads differ.")] = False,
    as_json: Json = False,
) -> None:
    """Say what got worse from A to B beyond the noise; exit 99 if anything did.

    With three runs a side or more the noise is that of runs, else that of seconds.
    """
    from engine.simulation.drill.compare import run

    raise typer.Exit(run(a, b, force=force, as_json=as_json))


@drills.command("lose-cell")
def drill_lose_cell(
    *,
    orders_per_second: Annotated[int, typer.Option(min=1, help="The load.")] = 3_000,
    holds: Annotated[int, typer.Option(min=0, help="Open orders before it comes.")] = 20_000,
    seconds: Annotated[float, typer.Option(min=1, help="How long it comes.")] = 20.0,
    as_json: Json = False,
) -> None:
    """Kill the cell's server under load, delete its data, and prove that nothing is lost.

    On servers of its own, in a temporary directory; exit 99 if a bar is not met.
    """
    from engine.simulation.drill.losing import run
    from engine.simulation.drill.types import Options

    options = Options(orders_per_second, holds, seconds)
    raise typer.Exit(run(_settings(), options, as_json=as_json))


@drills.command("run")
def drill_run(  # noqa: PLR0913 - each is an option
    scenario: Annotated[str, typer.Argument(help="A name of loadtest/scenarios.toml.")],
    *,
    short: Annotated[bool, typer.Option("--short", help="Seconds of load, as CI runs it.")] = False,
    seconds: Annotated[
        float | None, typer.Option(min=1, max=86_400, help="Stretch it over so long.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(min=1, help="The highest rate, orders a second.")
    ] = None,
    target: Annotated[
        str, typer.Option(help="Not servers of its own, but the instance at this URL.")
    ] = "",
    orders: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="For replay: order lines, CSV.")
    ] = None,
    speed: Annotated[
        float, typer.Option(min=0.01, max=100_000, help="For replay: so many times faster.")
    ] = 1.0,
    runs: Annotated[
        Path, typer.Option(file_okay=False, help="Where the papers of all drills are.")
    ] = Path("runs"),
    keep: Annotated[
        bool, typer.Option("--keep", help="Let the servers run afterwards, until Ctrl-C.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Rehearse a sale, or a failure in the middle of one, with a pass or a fail.

    Exit 99 if a threshold is breached, or anything that must hold does not: nothing is sold twice,
    no order lost, no repeat answered otherwise, no 5xx unexplained, the certificate.
    """
    import importlib.util

    if not all(map(importlib.util.find_spec, ("locust", "hdrh"))):
        raise NotInstalled("drills need Locust: install tidegate[drill]")
    from engine.simulation.drill.run import Options, run

    options = Options(scenario, short, seconds, rate, target, orders, speed, keep, runs)
    raise typer.Exit(run(_settings(), options, as_json=as_json))


@app.command()
def doctor(*, as_json: Json = False) -> None:
    """Say what this machine, its servers and its settings lack, and how to mend it.

    Exit 1 only if something has to be mended; a note costs speed, or surprises somebody later.
    """
    from engine.infra.servers.doctor import examine

    raise typer.Exit(examine(_settings(), typer.echo, as_json=as_json))


@app.command()
def openapi(
    *,
    asyncapi: Annotated[bool, typer.Option(help="What webhooks are told, as AsyncAPI.")] = False,
) -> None:
    """Write the OpenAPI document of the API."""
    from engine.app import asyncapi_document, openapi_document

    sys.stdout.buffer.write(asyncapi_document() if asyncapi else openapi_document())


@config.command("show")
def config_show(*, as_json: Json = False) -> None:
    """Show every setting and where it comes from; secrets are hidden."""
    _settings()
    shown = settings_of.show()
    if as_json:
        from engine.kernel import codec

        told = {one.name: {"value": one.value, "origin": one.origin} for one in shown}
        typer.echo(codec.encode(told))
        return
    width = max(len(settings_of.variable(one.name)) for one in shown)
    for one in shown:
        name, value = settings_of.variable(one.name), one.value or "(none)"
        origin = "environment" if one.origin == name else one.origin
        typer.echo(f"{name:<{width}}  {value}  ({origin})")


@stock.command("explain")
def stock_explain(
    sku: Annotated[str, typer.Argument(help="The SKU.")],
    *,
    channel: Annotated[str, typer.Option(help="Only this channel.")] = "",
    as_json: Json = False,
) -> None:
    """Show why as many of a SKU are for sale as are, and what would free more."""
    settings = _attached()
    from engine.app import stock_explain as explain

    raise typer.Exit(explain(settings, sku, channel, as_json))


@key.command("create")
def key_create(
    name: str,
    *,
    scope: Annotated[list[str], typer.Option(help="For example orders:write; again for more.")],
    channel: Annotated[str | None, typer.Option(help="Bind the key to one channel.")] = None,
    rate: Annotated[
        int, typer.Option(min=0, max=1_000_000, help="Requests a second, in each API process.")
    ] = 0,
    burst: Annotated[int, typer.Option(min=0, max=10_000_000, help="As many at once.")] = 0,
) -> None:
    """Make a key and print it once; only its hash is kept."""
    settings = _attached(valkey=False)
    import asyncio

    from engine.app import keys_create
    from engine.infra.http.keys import NewKey

    new = NewKey(name, scope, channel or "", rate, burst)
    typer.echo(asyncio.run(keys_create(settings, new)))


@key.command("revoke")
def key_revoke(key_id: str) -> None:
    """End a key; running processes notice within seconds."""
    settings = _attached(valkey=False)
    import asyncio

    from engine.app import keys_revoke

    asyncio.run(keys_revoke(settings, key_id))
    _say(f"revoked {key_id}")


@key.command("list")
def key_list(*, as_json: Json = False) -> None:
    """List the keys, without their secrets."""
    settings = _attached(valkey=False)
    import asyncio

    from engine.app import keys_list

    keys = asyncio.run(keys_list(settings))
    if as_json:
        from engine.kernel import codec

        typer.echo(codec.encode(keys))
        return
    for one in keys:
        bound = f", only {one.channel}" if one.channel else ""
        ended = f", revoked {one.revoked_at}" if one.revoked_at else ""
        typer.echo(f"{one.key_id}  {one.name}  ({' '.join(one.scopes)}{bound}{ended})")


@order.command("show")
def show(order_id: str) -> None:
    """Show one order, from the cell or from Postgres."""
    settings = _attached()
    from engine.app import order_show

    raise typer.Exit(order_show(settings, order_id))


@order.command("explain")
def order_explain(order_id: str, *, as_json: Json = False) -> None:
    """Follow one order: hold, payment, blocks, why it is sent from there, and its parcels."""
    settings = _attached()
    from engine.app import order_explain as explain

    raise typer.Exit(explain(settings, order_id, as_json=as_json))


Queue = Annotated[str, typer.Option(help="Only of this queue, for example wms:N1.")]


@dlq.command("list")
def dlq_list(*, queue: Queue = "", as_json: Json = False) -> None:
    """List what was given up, the oldest first, with why; at most 500."""
    settings = _attached(valkey=False)
    from engine.app import dead_letters

    raise typer.Exit(dead_letters(settings, queue, as_json=as_json))


@dlq.command("retry")
def dlq_retry(
    letter: Annotated[str, typer.Argument(help="An id of the list.")] = "", *, queue: Queue = ""
) -> None:
    """Try one call again, or with --queue up to 1,000 of one queue; exit 0 if there was any."""
    if bool(letter) == bool(queue):
        _fail("give the id of one, or --queue", USAGE)
    settings = _attached(valkey=False)
    from engine.app import retry_letters

    raise typer.Exit(retry_letters(settings, letter, queue, _say))


@dlq.command("settle")
def dlq_settle(
    letter: Annotated[str, typer.Argument(help="An id of the list, cell-N.")],
    *,
    reason: Annotated[str, typer.Option(help="What was done.")],
) -> None:
    """Say that what an entry that Postgres refused was about is settled; exit 0 if it was open."""
    if not reason.strip():
        _fail("--reason: say what was done", USAGE)
    settings = _attached(valkey=False)
    from engine.app import settle_letter

    raise typer.Exit(settle_letter(settings, letter, reason, _say))


@elastic.command("simulate")
def elastic_simulate(  # noqa: PLR0913 - each is an option
    file: Annotated[
        Path | None, typer.Argument(exists=True, dir_okay=False, help="Order lines of one sale.")
    ] = None,
    *,
    campaign: Annotated[str, typer.Option(help="A recorded sale of the running instance.")] = "",
    policy: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="What a campaign has as `elastic`, JSON."),
    ] = None,
    split: Annotated[
        list[str] | None, typer.Option(help="SHOP=SHARE of a file's stock; again for more.")
    ] = None,
    marketplace: Annotated[
        list[str] | None, typer.Option(help="A shop that lends after a drain only; again.")
    ] = None,
    drain_seconds: Annotated[
        float, typer.Option(min=0.0, max=3600.0, help="How long a drain takes.")
    ] = 5.0,
    as_json: Json = False,
) -> None:
    """Play a past sale in simulated time, with the static split and with elastic quotas."""
    if (file is None) == (not campaign):
        _fail("give an order file or --campaign, one of them", USAGE)
    settings = _settings() if file else _attached(valkey=False)
    import asyncio

    from engine.simulation.elastic.run import Options, run

    options = Options(
        file=file,
        campaign=campaign,
        policy=policy,
        split=tuple(split or ()),
        marketplaces=tuple(marketplace or ()),
        drain_s=drain_seconds,
        as_json=as_json,
    )
    raise typer.Exit(asyncio.run(run(settings, options)))


@imports.command("listings")
def import_listings(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would become of the rows.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Take all other SKUs from the links in the file.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Import what links of channels stand for; all rows of the file or, if one is wrong, none.

    The file is CSV in UTF-8 with the header channel,item_id,sku_id,sku,units_per.
    """
    settings = _attached(valkey=False)
    import asyncio

    from engine.listings.importer import run

    raise typer.Exit(
        asyncio.run(run(settings, file, replace=replace, dry_run=dry_run, as_json=as_json))
    )


@imports.command("rate-cards")
def import_rate_cards(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    *,
    effective_from: Annotated[
        str,
        typer.Option("--effective-from", help="Of rows that say none: RFC 3339 with a zone."),
    ] = "",
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Import what carriers' services cost; all cards of the file or, if a row is wrong, none.

    The file is CSV in UTF-8 with the columns card,service,dest,first_grams,first and, as far as
    they are wanted, origin, step_grams, step, least, and of a card, the same in all of its rows,
    effective_from, effective_until, currency, rounding, divisor, tax_basis_points. Prices are in
    minor units; surcharges stay those of the card's last version.
    """
    settings = _attached(valkey=False)
    import asyncio

    from engine.carriers.importer import run

    raise typer.Exit(
        asyncio.run(
            run(settings, file, effective_from=effective_from, dry_run=dry_run, as_json=as_json)
        )
    )


@imports.command("regions")
def import_regions(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    *,
    dry_run: DryRun = False,
    rejected: Rejected = None,
    as_json: Json = False,
) -> None:
    """Import regions with their places, for addresses that have none; they count before ours.

    The file is CSV in UTF-8 with the columns code,name and, in degrees, latitude,longitude.
    """
    settings = _attached(valkey=False)
    import asyncio

    from engine.infra.importing import Options
    from engine.places.importer import run

    raise typer.Exit(asyncio.run(run(settings, Options(file, dry_run, rejected, as_json))))


@imports.command("stock")
def import_stock(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    *,
    shadow_only: Annotated[
        bool, typer.Option("--shadow", help="Keep them for the shadow report; no stock changes.")
    ] = False,
    dry_run: DryRun = False,
    rejected: Rejected = None,
    as_json: Json = False,
) -> None:
    """Import what warehouses counted; good rows are kept, rejected ones told, with exit code 1.

    The file is CSV in UTF-8 with the columns node,sku,quantity and, as far as they are known,
    owner, condition, batch, unit, locked, basis, as_of, sequence, produced_on, expires_on. With
    --shadow all counts of a history are kept, as_of is required, and received_at and safety may
    say when the other system knew of a count and how many units the node is to keep.
    """
    settings = _attached(valkey=False)
    import asyncio

    from engine.infra.importing import Options
    from engine.physical import importer as counts
    from engine.shadow import importer as facts

    options = Options(file, dry_run, rejected, as_json)
    keep = facts.stock if shadow_only else counts.run
    raise typer.Exit(asyncio.run(keep(settings, options)))


@imports.command("orders")
def import_orders(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    *,
    channel: ChannelOfRows = "",
    dry_run: DryRun = False,
    rejected: Rejected = None,
    as_json: Json = False,
) -> None:
    """Import what another system sold, for the shadow report; no stock and no order changes.

    The file is CSV in UTF-8 with the columns channel_order_id, placed_at, quantity and sku or
    item_id, and, as far as they are known, channel, sku_id, line_id, version, node, known_at,
    accepted_at, shipped_at, cancelled_at. A row is a line of an order; of a line the newest
    version counts.
    """
    settings = _attached(valkey=False)
    import asyncio

    from engine.infra.importing import Options
    from engine.shadow.importer import orders

    options = Options(file, dry_run, rejected, as_json)
    raise typer.Exit(asyncio.run(orders(settings, options, channel)))


@imports.command("numbers")
def import_numbers(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    *,
    channel: ChannelOfRows = "",
    dry_run: DryRun = False,
    rejected: Rejected = None,
    as_json: Json = False,
) -> None:
    """Import what shops showed of their listings, for the shadow report.

    The file is CSV in UTF-8 with the columns seen_at, quantity (in pieces of the link) and item_id
    or sku, and, as far as they are known, channel and sku_id.
    """
    settings = _attached(valkey=False)
    import asyncio

    from engine.infra.importing import Options
    from engine.shadow.importer import numbers

    options = Options(file, dry_run, rejected, as_json)
    raise typer.Exit(asyncio.run(numbers(settings, options, channel)))


@shadow.command("report")
def shadow_report(
    *,
    since: Annotated[str, typer.Option(help="Findings from this instant on.")] = "",
    until: Annotated[str, typer.Option(help="Findings before this instant.")] = "",
    lag: Annotated[
        float, typer.Option(min=0, max=600, help="Seconds until a shop would show a number.")
    ] = 5.0,
    buffer: Annotated[
        int, typer.Option(min=0, max=1_000_000, help="Units that would be kept back always.")
    ] = 0,
    html: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Write a page with pictures there.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say where another system oversold, undersold or showed a wrong number, and why."""
    settings = _attached(valkey=False)
    import asyncio

    from engine.shadow.report import Options, run

    options = Options(since, until, lag, buffer, html, as_json)
    raise typer.Exit(asyncio.run(run(settings, options)))


@shadow.command("forget")
def shadow_forget() -> None:
    """Delete what was imported for the shadow report."""
    settings = _attached(valkey=False)
    import asyncio

    from engine.shadow.report import forget

    raise typer.Exit(asyncio.run(forget(settings)))


@route.command("check")
def route_check(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="YAML or JSON.")],
    *,
    as_json: Json = False,
) -> None:
    """Compile a routing plan and decide the examples in it; no server is needed.

    Exit 1 with line and column if the plan is wrong or an example comes out otherwise.
    """
    from engine.routing.check import run

    raise typer.Exit(run(file, as_json=as_json))


@route.command("replay")
def route_replay(
    *,
    plan: Annotated[
        Path, typer.Option("--plan", exists=True, dir_okay=False, help="YAML or JSON.")
    ],
    since: Annotated[str, typer.Option(help="Orders decided from this instant on.")],
    until: Annotated[str, typer.Option(help="Orders decided before this instant; now.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="So many orders, the latest.")] = 10_000,
    as_json: Json = False,
) -> None:
    """Decide recorded orders by a plan, and compare parcels, freight and dates; changes nothing.

    The plan beside it is the one that decided an order, in the same world: what is of then and what
    of now is told with it.
    """
    settings = _attached(valkey=False)
    import asyncio

    from engine.routing.replay import Options, run

    options = Options(plan, since, until, limit, as_json)
    raise typer.Exit(asyncio.run(run(settings, options)))


OfCode = Annotated[str, typer.Option(help="Only of this code.")]
OfChannel = Annotated[str, typer.Option(help="Only of this channel.")]
OfSku = Annotated[str, typer.Option(help="Only about this SKU.")]
Overdue = Annotated[bool, typer.Option("--overdue", help="Only what had to leave before now.")]
MinAge = Annotated[int, typer.Option(min=0, help="Only what waits for so many seconds.")]
ShipByBefore = Annotated[str, typer.Option(help="Only what has to leave before: RFC 3339.")]


@exceptions.command("list")
def exceptions_list(  # noqa: PLR0913 - each is an option
    *,
    code: OfCode = "",
    channel: OfChannel = "",
    sku: OfSku = "",
    overdue: Overdue = False,
    min_age: MinAge = 0,
    ship_by_before: ShipByBefore = "",
    limit: Annotated[int, typer.Option(min=1, max=500)] = 50,
    as_json: Json = False,
) -> None:
    """List what waits for a person, the most urgent first."""
    settings = _attached()
    from engine.app import exceptions_list as show
    from engine.desk.command import Asked

    asked = Asked(code, channel, sku, overdue, min_age, ship_by_before, limit)
    raise typer.Exit(show(settings, asked, as_json=as_json))


@exceptions.command("summary")
def exceptions_summary(*, as_json: Json = False) -> None:
    """Say how much waits for a person, by code and channel."""
    settings = _attached()
    from engine.app import exceptions_summary as show

    raise typer.Exit(show(settings, as_json=as_json))


@exceptions.command("remedy")
def exceptions_remedy(  # noqa: PLR0913 - each is an option
    remedy: Annotated[str, typer.Argument(help="approve, lift_block, route_again, …")],
    *,
    code: OfCode = "",
    item: Annotated[
        list[str] | None, typer.Option("--id", help="Only this; again for more.")
    ] = None,
    channel: OfChannel = "",
    sku: OfSku = "",
    overdue: Overdue = False,
    min_age: MinAge = 0,
    ship_by_before: ShipByBefore = "",
    limit: Annotated[int, typer.Option(min=1, max=500, help="Touch so many now.")] = 100,
    reason: Annotated[str, typer.Option(help="Why; it is kept with what is done.")] = "",
    expect_max: Annotated[
        int | None, typer.Option(min=0, help="Touch nothing if there are more than these.")
    ] = None,
    remedy_id: Annotated[str, typer.Option(help="Its name; the same again is done once.")] = "",
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it; else only say what it touches.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say what a remedy would touch or, with --yes, do it; exit 1 if something was not done."""
    settings = _attached()
    from engine.app import exceptions_remedy as do
    from engine.desk.command import asked_for

    asked = asked_for(
        {
            "remedy": remedy, "code": code, "ids": item or [], "channel": channel, "sku": sku,
            "overdue": overdue, "min_age": min_age, "ship_by_before": ship_by_before,
            "limit": limit, "reason": reason, "expect_max": expect_max, "remedy_id": remedy_id,
            "dry_run": not yes,
        }
    )  # fmt: skip
    raise typer.Exit(do(settings, asked, as_json=as_json))


def _settings(**flags: object) -> Settings:
    """Load the settings; flags that were given win over the environment."""
    import dataclasses

    try:
        loaded = settings_of.load()
    except ValueError as error:
        _fail(str(error), USAGE)
    given = {name: value for name, value in flags.items() if value is not None}
    return dataclasses.replace(loaded, **given)  # type: ignore[arg-type]


def _attached(*, valkey: bool = True) -> Settings:
    """Settings with the addresses of the running instance, or exit 3."""
    from engine.infra.runfile import attach

    return attach(_settings(), valkey=valkey)


def _say(sentence: str) -> None:
    typer.echo(sentence, err=True)


def _fail(sentence: str, code: int) -> Never:
    _say(sentence)
    sys.exit(code)


if __name__ == "__main__":
    main()
