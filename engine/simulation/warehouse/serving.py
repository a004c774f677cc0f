"""The simulated warehouse on HTTP: it is called in either language, and calls back.

Its calls are checked as ours are: a wrong signature is answered 401 and changes nothing.
"""

import asyncio
from collections.abc import Callable
from random import Random
from typing import Final, Self

import aiohttp
from aiohttp import web

from engine.kernel.clock import Clock
from engine.kernel.errors import EngineError
from engine.simulation.warehouse import languages
from engine.simulation.warehouse.books import Books
from engine.simulation.warehouse.languages import Called
from engine.simulation.warehouse.types import Answered
from engine.wms.rules import plain, qimen
from engine.wms.types import Access, Language, Report

_TICK_S: Final = 0.005
_CALLBACK_TIMEOUT_S: Final = 5.0
_HOST: Final = "127.0.0.1"

# Where a callback goes and which headers it has besides its own; the body is the last argument.
Where = Callable[[], str]


class Server:
    """One warehouse that listens on a free port of this machine and tells what its books say."""

    def __init__(
        self, books: Books, clock: Clock, secret: str, node: str = "SIM", where: Where | None = None
    ) -> None:
        """Take whom it plays; without `where` to call back it keeps what it has to tell."""
        self.books = books
        self.calls: list[tuple[str, str, str]] = []  # call, code, what it was answered
        self.told: list[Report] = []
        self._clock, self._secret, self._node, self._where = clock, secret, node, where
        self._rng = Random(f"{books.knobs.seed} {node} network")
        self._runner: web.AppRunner | None = None
        self._task: asyncio.Task[None] | None = None
        self._port = 0
        self._telling = 0

    def access(self, language: Language) -> Access:
        """Return how it is reached."""
        return Access(
            self._node, language, f"http://{_HOST}:{self._port}/{language}", (self._secret,),
            warehouse=f"WH-{self._node}", owner="OWNER", app_key="sim", customer=self._node,
            codes=languages.CODES, cancels_later=self.books.knobs.cancels_later, can_query=True,
        )  # fmt: skip

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/qimen", self._qimen)
        app.router.add_post("/plain", self._plain)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, _HOST, 0)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def tell(self, language: Language, at_once: int = 1) -> None:
        """Tell what happens until cancelled, so much at once; what is not taken is told again."""
        assert self._where is not None
        async with aiohttp.ClientSession() as http:
            while True:
                now = self._clock.now_ms()
                due = self.books.tell(now)
                self._telling = len(due)
                for first in range(0, len(due), at_once):
                    async with asyncio.TaskGroup() as tasks:
                        for report in due[first : first + at_once]:
                            tasks.create_task(self._tell(http, language, report, now))
                await asyncio.sleep(_TICK_S)

    async def _tell(
        self, http: aiohttp.ClientSession, language: Language, report: Report, now: int
    ) -> None:
        if await self._call_back(http, language, report):
            self.told.append(report)
        else:
            self.books.again(report, now)
        self._telling -= 1

    @property
    def silent(self) -> bool:
        """Whether everything that happened so far was told, and taken."""
        return self.books.silent and not self._telling

    async def _qimen(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        query = list(request.query.items())
        try:
            qimen.verify((self._secret,), query, body, self._clock.now_ms())
            called = languages.qimen_call(request.query["method"], body)
        except EngineError as refused:
            return web.Response(status=refused.status, text=refused.detail)
        answered = await self._answer(request, called)
        if answered is None:
            return web.Response(status=503)
        return web.Response(body=languages.qimen_answer(answered), content_type="text/xml")

    async def _plain(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        header = request.headers.get(plain.SIGNATURE, "")
        try:
            plain.verify((self._secret,), header, body, self._clock.now_ms())
        except EngineError as refused:
            return web.Response(status=refused.status, text=refused.detail)
        answered = await self._answer(request, languages.plain_call(body))
        if answered is None:
            return web.Response(status=503)
        return web.Response(body=languages.plain_answer(answered), content_type="application/json")

    async def _answer(self, request: web.Request, called: Called) -> Answered | None:
        """Do what was asked, or not; None: it failed, which does not say that it was not done."""
        knobs, rng = self.books.knobs, self._rng
        fails, done = rng.random() < knobs.error_5xx, rng.random() < 0.5  # noqa: PLR2004 - a coin
        cut, slow = rng.random() < knobs.reply_lost, rng.random() < knobs.slow
        if fails and not done:
            self.calls.append((called.call, called.code, "failed"))
            return None
        answered = self._do(called)
        self.calls.append((called.call, called.code, answered.code or "done"))
        if slow:
            await asyncio.sleep(knobs.slow_ms / 1_000)
        if cut and request.transport is not None:
            request.transport.abort()
        return None if fails else answered

    def _do(self, called: Called) -> Answered:
        now = self._clock.now_ms()
        if called.call == "create":
            carrier = called.carrier
            return self.books.create(called.code, called.lines, carrier, called.waybill, now)
        if called.call == "cancel":
            return self.books.cancel(called.code, now)
        return self.books.query(called.code, now)

    async def _call_back(
        self, http: aiohttp.ClientSession, language: Language, report: Report
    ) -> bool:
        assert self._where is not None
        query: list[tuple[str, str]] | None = None
        access = self.access(language)
        now = self._clock.now_ms()
        if language == "qimen":
            method, body = languages.qimen_report(report, access)
            query = qimen.signed(access, method, body, now)
            headers = {"Content-Type": "text/xml; charset=utf-8"}
        else:
            body = languages.plain_report(report)
            signature = plain.sign(self._secret, body, now // 1_000)
            headers = {"Content-Type": "application/json", plain.SIGNATURE: signature}
        timeout = aiohttp.ClientTimeout(total=_CALLBACK_TIMEOUT_S)
        try:
            async with http.post(
                self._where(), data=body, params=query, headers=headers, timeout=timeout
            ) as response:
                answer = await response.read()
                if language == "qimen":
                    return qimen.reply(answer, access).outcome == "DONE"
                return response.ok
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False
