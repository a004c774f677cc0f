"""The plans in use, compiled: each once a version, and the same object as long as it is the same.

To ask which plan decides is one small statement, so that an activation holds from the next turn on.
"""

import asyncio
from typing import Final, NamedTuple

import structlog

from engine.infra.postgres import Connection
from engine.kernel.errors import EngineError, LacksLibrary, NotInstalled, PlanInvalid
from engine.kernel.types import Tenant
from engine.routing.rules.compiling import compile_plan
from engine.routing.store import plans as store
from engine.routing.types.answers import Status
from engine.routing.types.core import CompiledPlan
from engine.routing.types.plans import PlanFault, PlanFields

_log: Final = structlog.get_logger(__name__)


class Shadow(NamedTuple):
    """A plan that decides beside the active one; `share` is how many of 1,000 orders."""

    plan: CompiledPlan
    share: int


class _Name(NamedTuple):
    """A version in a status: what was tried and then activated begins anew with nothing kept."""

    status: Status
    plan: str
    version: int


class CurrentPlans:
    """What one process keeps of one tenant's plans in use; `active` is a router's `plans`."""

    def __init__(self) -> None:
        """Begin with nothing compiled."""
        self._used: tuple[_Name, ...] = ()
        self._kept: dict[_Name, Shadow | EngineError] = {}

    async def active(self, db: Connection, tenant: Tenant) -> CompiledPlan | None:
        """Return the plan that is ACTIVE now, None if none is.

        Raises:
            PlanInvalid: it was activated by a process that takes more than this one.
            LacksLibrary: its conditions cannot be checked here.
        """
        self._used = tuple([_Name(*row) for row in await store.used(db, tenant)])
        for old in self._kept.keys() - set(self._used):
            del self._kept[old]
        for name in self._used:
            if name.status == "ACTIVE":
                found = await self._compiled(db, tenant, name)
                if isinstance(found, EngineError):
                    raise found.with_traceback(None)  # it is raised each turn
                return found.plan
        return None

    @property
    def shadowed(self) -> bool:
        """Whether any plan was SHADOW when `active` was asked last."""
        return any(name.status == "SHADOW" for name in self._used)

    async def shadows(self, db: Connection, tenant: Tenant) -> list[Shadow]:
        """Return the plans that were SHADOW then, but those that do not compile here."""
        names = [name for name in self._used if name.status == "SHADOW"]
        found = [await self._compiled(db, tenant, name) for name in names]
        return [one for one in found if isinstance(one, Shadow)]

    async def _compiled(self, db: Connection, tenant: Tenant, name: _Name) -> Shadow | EngineError:
        """Return a version as it decides, or why it does not; both are found out once."""
        kept = self._kept.get(name)
        if kept is None:
            read = await store.version(db, tenant, name.plan, name.version)
            assert read.fields is not None, "one version is read with what it says"
            try:
                kept = await asyncio.to_thread(_compile, read.fields, name.version)
            except EngineError as refused:
                _log.error(
                    "routing_plan_refused", plan=name.plan, version=name.version,
                    status=name.status, reason=str(refused),
                )  # fmt: skip
                kept = refused
            self._kept[name] = kept
        return kept


def _compile(fields: PlanFields, version: int) -> Shadow:
    try:
        compiled = compile_plan(fields, version=version)
    except PlanFault as fault:
        raise PlanInvalid(f"{fields.plan} version {version}: {fault}") from fault
    except NotInstalled as missing:
        raise LacksLibrary(str(missing)) from missing
    return Shadow(compiled.plan, fields.shadow_share)
