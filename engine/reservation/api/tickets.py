"""`POST /v1/campaigns/{campaign}/tickets`: a buyer's turn in a campaign's waiting room."""

from typing import Annotated, Final

import msgspec
from aiohttp import web

from engine.infra.http.auth import principal_of
from engine.infra.http.openapi import Operation, operation
from engine.infra.http.server import body_of, json_response, path_id
from engine.kernel import codec
from engine.kernel.clock import rfc3339
from engine.kernel.errors import Closed, Ended, InConflict, OutcomeUnknown, Overloaded
from engine.reservation.api.single import RESERVATIONS
from engine.reservation.types import TicketClaim

_SCOPE: Final = "orders:write"
_PATH: Final = "/v1/campaigns/{campaign}/tickets"


class TicketIn(codec.Wire, frozen=True):
    """Who wants to buy; `place` is what an earlier answer gave, without it a new turn is taken."""

    buyer_id: codec.Identifier
    place: Annotated[str, msgspec.Meta(max_length=64)] = ""


class TicketView(codec.Answer, frozen=True):
    """A ticket, to be sent with orders (`ticket`) until `expires_at`: it is this buyer's alone."""

    ticket: str
    expires_at: str


class PlaceView(codec.Answer, frozen=True):
    """A place in the line: come again with it at `turn_at`; `ahead` buyers are before.

    A turn is kept for as long as a ticket holds, and taken anew after that.
    """

    place: str
    turn_at: str
    ahead: int


async def post_ticket(request: web.Request) -> web.Response:
    """Give a ticket (200), or a place and how long to wait (202, `Retry-After`)."""
    app = request.app
    principal = await principal_of(request, _SCOPE)
    campaign = path_id(request, "campaign")
    asked = await body_of(request, _decode)
    codec.identifier(asked.buyer_id, "/buyer_id")
    claim = TicketClaim(principal.tenant, campaign, asked.buyer_id, asked.place)
    turn = await app[RESERVATIONS].ticket(claim)
    if turn.ticket:
        return json_response(TicketView(turn.ticket, rfc3339(turn.at)))
    wait_ms = turn.at - app[RESERVATIONS].cell.now_ms()
    headers = {"Retry-After": str(max(1, -(-wait_ms // 1_000)))}
    return json_response(PlaceView(turn.place, rfc3339(turn.at), turn.ahead), 202, headers)


_decode: Final = codec.Decoder(TicketIn)


def routes() -> list[web.RouteDef]:
    """Return the routes of this module."""
    return [web.post(_PATH, post_ticket)]


OPERATIONS: Final[list[Operation]] = [
    operation(
        "POST",
        _PATH,
        "Take a turn in a campaign's waiting room",
        _SCOPE,
        request=TicketIn,
        responses={200: TicketView, 202: PlaceView},
        problems=[InConflict, Ended, Overloaded, Closed, OutcomeUnknown],
    ),
]
