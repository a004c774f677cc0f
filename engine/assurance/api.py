"""The ledger, what does not agree, and what was given up, over HTTP.

Of the ledger a key that is bound to a channel sees its pools; of the others nothing.
"""

from typing import Annotated, Final, get_args

import msgspec
from aiohttp import web

from engine.assurance import ledger, letters
from engine.assurance.ledger import PostingPage, SumPage, Wanted
from engine.assurance.letters import LetterPage, LetterSettled, LettersRetried
from engine.assurance.reconciling import views
from engine.assurance.reconciling.types import Kind
from engine.assurance.reconciling.views import DriftPage
from engine.infra.http.auth import principal_of, require_channel, unbound_of
from engine.infra.http.openapi import PAGED, Operation, Query, operation
from engine.infra.http.paging import read_page
from engine.infra.http.query import refuse_query, word_of
from engine.infra.http.server import body_of, json_response, path_id, query_id, query_instant
from engine.infra.runtime import RUNTIME
from engine.kernel import codec
from engine.kernel.errors import InConflict, NotFound

_KINDS: Final = get_args(Kind)
_STATES: Final = ("open", "all")
_INTEGER_MAX: Final = 2**31 - 1
_REASON_LENGTH_MAX: Final = 512


class QueueIn(codec.Wire, frozen=True):
    """A queue as dead letters name it: `wms:` and a node."""

    queue: codec.Identifier


class SettleIn(codec.Wire, frozen=True):
    """What was done, for those who ask later."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=_REASON_LENGTH_MAX)]


_decode_queue: Final = codec.Decoder(QueueIn)
_decode_settle: Final = codec.Decoder(SettleIn)


async def list_drifts(request: web.Request) -> web.Response:
    """List drifts, newest first."""
    principal = await unbound_of(request, "stock:read")
    page = read_page(request.query, int)
    kind, state = word_of(request, "kind", _KINDS), word_of(request, "state", _STATES)
    rows = await views.drifts(
        request.app[RUNTIME].pool, principal.tenant, kind, only_open=state != "all",
        below=page.after[0] if page.after else None, limit=page.limit + 1,
    )  # fmt: skip
    return json_response(page.answer(rows, lambda row: [int(row.drift_id)], lambda row: row))


async def list_postings(request: web.Request) -> web.Response:
    """List what went from one account to another."""
    wanted = await _wanted(request)
    page = read_page(request.query, str, int, int)
    account = word_of(request, "account", ledger.ACCOUNTS)
    after = page.after or ["", 0, 0]
    if max(after[1:]) > _INTEGER_MAX:
        refuse_query("cursor", "must be a next_cursor of this list")
    rows = await ledger.postings(request.app[RUNTIME].pool, wanted, account, after, page.limit + 1)
    answer = page.answer(rows, lambda row: [row.entry, row.line, row.part], lambda row: row)
    return json_response(answer)


async def list_sums(request: web.Request) -> web.Response:
    """Add up what each order, return, move or grant caused."""
    wanted = await _wanted(request)
    page = read_page(request.query, str)
    after = page.after[0] if page.after else ""
    rows = await ledger.sums(request.app[RUNTIME].pool, wanted, after, page.limit + 1)
    return json_response(page.answer(rows, lambda row: [row.reference], lambda row: row))


async def list_letters(request: web.Request) -> web.Response:
    """List what was given up."""
    principal = await unbound_of(request, "admin")
    page, runtime = read_page(request.query, str, int), request.app[RUNTIME]
    after = (page.after[0], page.after[1]) if page.after else ("cell", 0)
    rows = await letters.listed(
        runtime.pool, principal.tenant, runtime.settings.cell, runtime.clock.now_ms(),
        queue=query_id(request, "queue"), after=after, limit=page.limit + 1,
    )  # fmt: skip
    return json_response(page.answer(rows, letters.place_of, lambda row: row))


async def retry_letter(request: web.Request) -> web.Response:
    """Try one of them again."""
    principal = await unbound_of(request, "admin")
    pool, letter = request.app[RUNTIME].pool, path_id(request, "letter")
    done = await letters.retry(pool, principal.tenant, letter, principal.key_id)
    return json_response(LettersRetried(done))


async def settle_letter(request: web.Request) -> web.Response:
    """Note that one of the cell is settled."""
    principal = await unbound_of(request, "admin")
    wanted, process = await body_of(request, _decode_settle), request.app[RUNTIME]
    if not wanted.reason.strip():
        codec.refuse("/reason", "must say what was done")
    settled = await letters.settle(
        process.pool, process.settings.cell, path_id(request, "letter"), wanted.reason,
        principal.key_id,
    )  # fmt: skip
    return json_response(settled)


async def retry_letters(request: web.Request) -> web.Response:
    """Try those of a queue again."""
    principal = await unbound_of(request, "admin")
    wanted, pool = await body_of(request, _decode_queue), request.app[RUNTIME].pool
    done = await letters.retry_queue(pool, principal.tenant, wanted.queue, principal.key_id)
    return json_response(LettersRetried(done))


async def _wanted(request: web.Request) -> Wanted:
    principal = await principal_of(request, "stock:read")
    channel = query_id(request, "channel") or principal.channel
    require_channel(principal, channel, reading=True)
    sku, pool, order = (query_id(request, name) for name in ("sku", "pool", "order"))
    cell = request.app[RUNTIME].settings.cell
    since = query_instant(request, "since")
    return Wanted(cell, principal.tenant, channel, sku, pool, order, since)


def routes() -> list[web.RouteDef]:
    """Return the routes of this slice."""
    return [
        web.get("/v1/dead-letters", list_letters),
        web.post("/v1/dead-letters/{letter}/retry", retry_letter),
        web.post("/v1/dead-letters/{letter}/settle", settle_letter),
        web.post("/v1/dead-letters:retry", retry_letters),
        web.get("/v1/drifts", list_drifts),
        web.get("/v1/ledger", list_postings),
        web.get("/v1/ledger:sums", list_sums),
    ]


_POSTINGS: Final = [
    Query("order", "only what this order and its returns caused"),
    Query("sku", "only this SKU"),
    Query("pool", "only this pool"),
    Query("channel", "only pools of this channel; shared pools are of none"),
    Query("since", "at or after this instant"),
]


OPERATIONS: Final[list[Operation]] = [
    operation(
        "GET",
        "/v1/dead-letters",
        "List what was given up: calls to nodes' systems, and entries that Postgres refused",
        "admin",
        responses={200: LetterPage},
        query=[
            Query("queue", "only of this queue: `wms:` and a node, or `cell:` and a cell"),
            *PAGED,
        ],
    ),
    operation(
        "POST",
        "/v1/dead-letters/{letter}/retry",
        "Try a call again that was given up",
        "admin",
        responses={200: LettersRetried},
        problems=[NotFound, InConflict],
    ),
    operation(
        "POST",
        "/v1/dead-letters/{letter}/settle",
        "Say that what an entry that Postgres refused was about is settled: it is listed no more",
        "admin",
        request=SettleIn,
        responses={200: LetterSettled},
        problems=[NotFound, InConflict],
    ),
    operation(
        "POST",
        "/v1/dead-letters:retry",
        "Try the oldest 1,000 calls of a queue again that were given up",
        "admin",
        request=QueueIn,
        responses={200: LettersRetried},
    ),
    operation(
        "GET",
        "/v1/drifts",
        "List what does not agree between the cell, the database, documents and the ledger",
        "stock:read",
        responses={200: DriftPage},
        query=[
            Query("state", "`open` when not given, or `all`"),
            Query("kind", "only of this kind"),
            *PAGED,
        ],
    ),
    operation(
        "GET",
        "/v1/ledger",
        "List the double-entry ledger of pools: units from one account to another",
        "stock:read",
        responses={200: PostingPage},
        query=[
            *_POSTINGS,
            Query("account", f"only what names it: {', '.join(ledger.ACCOUNTS)}"),
            *PAGED,
        ],
    ),
    operation(
        "GET",
        "/v1/ledger:sums",
        "Add up the ledger by what caused it: its debits are its credits",
        "stock:read",
        responses={200: SumPage},
        query=[*_POSTINGS, *PAGED],
    ),
]
