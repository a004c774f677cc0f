"""PUT, GET and list of one kind of document.

A slice says what it is called, of what types it is and which verbs keep it. Channels answer by
themselves: each may be read by a key that is bound to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from engine.infra.http.auth import principal_of, unbound_of
from engine.infra.http.openapi import PAGED, Operation, operation
from engine.infra.http.paging import read_page
from engine.infra.http.resource import (
    kept_response,
    match_of,
    published_soon,
    rendered,
    saved_response,
)
from engine.infra.http.server import body_of, json_response, path_id
from engine.infra.runtime import RUNTIME, Runtime
from engine.infra.versioned import Kept, Match, Saved, T
from engine.kernel import codec
from engine.kernel.errors import EngineError, NotFound
from engine.kernel.types import Tenant


class Verbs(Protocol[T]):
    """How documents of a kind are kept; a slice's service module is one."""

    async def put(  # noqa: D102 - the class says it
        self, runtime: Runtime, tenant: Tenant, key: str, fields: T, match: Match, actor: str, /
    ) -> Saved[T]: ...

    async def get(self, runtime: Runtime, tenant: Tenant, key: str, /) -> Kept[T]:
        """Return one, or raise NotFound."""
        ...

    async def page(
        self, runtime: Runtime, tenant: Tenant, after: str, limit: int, /
    ) -> list[Kept[T]]:
        """Return those after one, in the order of their ids."""
        ...


@dataclass(frozen=True, slots=True)
class Documents(Generic[T]):
    """One kind of document at `/v1/{path}`; `word` names its id in paths and answers.

    `change` is the summary of its PUT, `name` the rest of "Show …", `names` that of "List …". Keys
    that are bound to a channel may not write, and may not read unless it is `for_all`. Where the
    cell has to be told of it (`told`), a PUT answers once it was, or after two seconds. What
    belongs to another document stands `below` it, at `/v1/{path}/{word}/{below}`; without a `page`
    there is no list. `scopes` are for writing and reading.
    """

    path: str
    word: str
    fields: type[T]
    view: type[msgspec.Struct]
    page: type[msgspec.Struct] | None
    verbs: Verbs[T]
    change: str
    name: str
    names: str
    problems: Sequence[type[EngineError]] = ()
    for_all: bool = False
    told: bool = False
    below: str = ""
    scopes: tuple[str, str] = ("stock:write", "stock:read")

    def routes(self) -> list[web.RouteDef]:
        """Return its routes."""
        routes = [web.put(self._one(), self._put()), web.get(self._one(), self._get)]
        listed = [web.get(f"/v1/{self.path}", self._list)] if self.page else []
        return [*routes, *listed]

    def operations(self) -> list[Operation]:
        """Return its calls."""
        one, (write, read) = self._one(), self.scopes
        operations = [
            operation(
                "PUT", one, self.change, write, request=self.fields,
                responses={200: self.view, 201: self.view}, problems=self.problems,
                headers=["Prefer"] if self.told else [], etag=True,
            ),
            operation(
                "GET", one, f"Show {self.name}", read, responses={200: self.view},
                problems=[NotFound], etag=True,
            ),
        ]  # fmt: skip
        if self.page:
            operations.append(
                operation(
                    "GET", f"/v1/{self.path}", f"List {self.names}", read,
                    responses={200: self.page}, query=PAGED,
                )
            )  # fmt: skip
        return operations

    def _one(self) -> str:
        one = f"/v1/{self.path}/{{{self.word}}}"
        return f"{one}/{self.below}" if self.below else one

    def _put(self) -> Handler:
        decode = codec.Decoder(self.fields)

        async def put(request: web.Request) -> web.Response:
            principal = await unbound_of(request, self.scopes[0])
            runtime, tenant = request.app[RUNTIME], principal.tenant
            key, fields = path_id(request, self.word), await body_of(request, decode)
            saved = await self.verbs.put(
                runtime, tenant, key, fields, match_of(request), principal.key_id
            )
            shown = self._shown(saved.kept)
            if self.told:

                async def ask() -> bool:
                    return (await self.verbs.get(runtime, tenant, key)).published

                shown["published"] = await published_soon(request, runtime.clock, ask)
            return saved_response(saved, shown, request.rel_url.raw_path)

        return put

    async def _get(self, request: web.Request) -> web.Response:
        tenant = await self._reader(request)
        kept = await self.verbs.get(request.app[RUNTIME], tenant, path_id(request, self.word))
        return kept_response(kept, self._shown(kept))

    async def _list(self, request: web.Request) -> web.Response:
        tenant = await self._reader(request)
        page = read_page(request.query, str)
        after = page.after[0] if page.after else ""
        rows = await self.verbs.page(request.app[RUNTIME], tenant, after, page.limit + 1)
        return json_response(page.answer(rows, lambda kept: [kept.id], self._shown))

    async def _reader(self, request: web.Request) -> Tenant:
        who = principal_of if self.for_all else unbound_of
        return (await who(request, self.scopes[1])).tenant

    def _shown(self, kept: Kept[T]) -> dict[str, object]:
        shown = rendered(kept, self.word)
        return {**shown, "published": kept.published} if self.told else shown
