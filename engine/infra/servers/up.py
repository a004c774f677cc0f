"""`tidegate up`: a whole instance in the foreground, until it is asked to stop."""

import asyncio
import signal
import threading
from collections.abc import Callable
from types import FrameType

from engine.infra.migrate import migrate
from engine.infra.servers import ports
from engine.infra.servers.supervisor import Supervisor
from engine.settings import Settings


def run(settings: Settings, say: Callable[[str], None], show: Callable[[str], None]) -> None:
    """Start everything, show where it is, wait for SIGINT or SIGTERM, stop everything.

    Raises:
        CannotStart: nothing is left running.
    """
    asked = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        asked.set()

    for word in (signal.SIGINT, signal.SIGTERM):
        signal.signal(word, stop)
    with Supervisor(settings, tell=say) as supervisor:
        asyncio.run(migrate(supervisor.settings.database_url or ""))
        if not asked.is_set():
            supervisor.start_engine()
            supervisor.wait_ready(unless=asked.is_set)
        if not asked.is_set():
            _welcome(supervisor, given=settings.admin_key is not None, show=show)
        asked.wait()
        say("Stopping: the API answers what it has, then the servers follow.")


def _welcome(supervisor: Supervisor, *, given: bool, show: Callable[[str], None]) -> None:
    key = "as given in TIDEGATE_ADMIN_KEY" if given else supervisor.settings.admin_key
    show(f"Tidegate is up  {supervisor.address}")
    show(f"API documents   {supervisor.address}/docs")
    host, port = supervisor.settings.http_host, supervisor.settings.metrics_port
    if port:
        show(f"Metrics         {ports.base_url(host, port)}/metrics")
    show(f"Admin key       {key}")
    show(f"Data and logs   {supervisor.home.path}")
    show("Ctrl-C stops it")
