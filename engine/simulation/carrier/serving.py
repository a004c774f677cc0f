"""The simulated carrier on HTTP: its desk, and where parcels are.

Its calls are checked as ours are: a wrong signature is answered 401 and changes nothing.
"""

from typing import Any, Final, Self

from aiohttp import web

from engine.carriers.types.waybills import Reply, Wanted
from engine.kernel import codec, signing
from engine.kernel.clock import Clock, rfc3339
from engine.kernel.errors import EngineError
from engine.simulation.carrier.desk import Desk
from engine.simulation.carrier.journeys import Journeys, travel

_HOST: Final = "127.0.0.1"
_TWO_DAYS_MS: Final = 172_800_000


class Server:
    """One carrier that listens on a free port of this machine.

    Whoever asks where a parcel is has handed it over: it travels from then on, for `lasts_ms`
    where all goes well.
    """

    def __init__(
        self, desk: Desk, clock: Clock, secret: str, *, journeys: Journeys | None = None,
        lasts_ms: int = _TWO_DAYS_MS,
    ) -> None:  # fmt: skip
        """Take whom it plays."""
        self.desk = desk
        self.asked: list[dict[str, Any]] = []
        self._clock, self._secret, self._lasts_ms = clock, secret, lasts_ms
        self._journeys = journeys or Journeys(0)
        self._left: dict[str, int] = {}
        self._turned: dict[str, int] = {}
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """Where it is asked."""
        return f"http://{_HOST}:{self._port}/desk"

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/desk", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, _HOST, 0)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def hand_over(self, waybill: str, at_ms: int) -> None:
        """Take a parcel along from an instant on, whoever asks for it and when."""
        self.desk.collect(waybill)
        self._left[waybill] = at_ms

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        header = request.headers.get(signing.SIGNATURE, "")
        try:
            signing.verify((self._secret,), header, body, self._clock.now_ms())
        except EngineError as refused:
            return web.Response(status=refused.status, text=refused.detail)
        asked = codec.decode_json(body.decode())
        self.asked.append(asked)
        answered = await self._do(asked)
        if answered is None:
            return web.Response(status=503)
        return web.Response(body=codec.encode(answered), content_type="application/json")

    async def _do(self, asked: dict[str, Any]) -> dict[str, Any] | None:
        call = asked.pop("call")
        if call == "track":
            return {"outcome": "done", "milestones": self._track(asked["waybills"])}
        if call == "waybill.get":
            reply = await self.desk.get(Wanted(**asked))
        elif call == "waybill.cancel":
            reply = await self.desk.cancel(asked["waybill"], asked["reason"])
        elif call == "intercept":
            reply = await self.desk.intercept(asked["waybill"], asked["reason"])
            if asked["waybill"] in self.desk.turned:
                self._turned.setdefault(asked["waybill"], self._clock.now_ms())
        else:
            reply = await self.desk.print_data(asked["waybill"])
        return None if reply.outcome == "UNKNOWN" else _told(reply)

    def _track(self, waybills: list[str]) -> list[dict[str, str]]:
        now, found = self._clock.now_ms(), []
        for waybill in waybills:
            if waybill not in self._left and self.desk.collect(waybill):
                self._left[waybill] = now
            left = self._left.get(waybill)
            if left is None:
                continue
            way = travel(
                self._journeys, waybill, left, left + self._lasts_ms, self._turned.get(waybill)
            )
            found += [
                {"waybill": waybill, "milestone": one.milestone, "at": rfc3339(one.at_ms),
                 "place": one.place}
                for one in way
                if one.at_ms <= now
            ]  # fmt: skip
        return found


def _told(reply: Reply) -> dict[str, Any]:
    return {
        "outcome": reply.outcome.lower(), "waybill": reply.waybill, "data": dict(reply.data),
        "code": reply.code, "text": reply.text, "permanent": reply.permanent,
    }  # fmt: skip
