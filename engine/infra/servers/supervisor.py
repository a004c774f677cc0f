"""One instance as its owner sees it: its servers, its processes, its data directory."""

import atexit
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus
from typing import Final, Self

from engine import settings as settings_of
from engine.infra import runfile
from engine.infra.servers import binaries, ports, postgres, process, valkey
from engine.infra.servers.errors import CannotStart
from engine.infra.servers.gathering import Gatherer
from engine.infra.servers.home import Home
from engine.infra.servers.keeper import DEATHS_ARE_A_PATTERN, Keeper
from engine.infra.servers.process import Recipe
from engine.settings import Settings

ANSWER_SECONDS_MAX: Final = 120.0
PORT_ATTEMPTS: Final = 5


class Supervisor:
    """Start, watch, restart and stop the children of one instance; callable from any thread.

    Names: `valkey`, `postgres`, `api-0` …, `worker-0` …. A server whose URL the settings give is
    somebody else's and is not started. `start` brings up the servers only, so that the caller can
    migrate; `start_engine` the rest.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        ephemeral: bool | None = None,
        api_processes: int | None = None,
        workers: int = 1,
        tell: Callable[[str], None] = lambda _sentence: None,
    ) -> None:
        """Take what to run; `tell` gets a sentence each time a child dies or comes back."""
        self._ephemeral = settings.ephemeral if ephemeral is None else ephemeral
        self._settings = replace(settings, ephemeral=self._ephemeral)
        self._api_processes = settings.api_processes if api_processes is None else api_processes
        self._workers = workers
        self._tell = tell
        self._home: Home | None = None
        self._keeper: Keeper | None = None
        self._gatherer: Gatherer | None = None

    @property
    def settings(self) -> Settings:
        """The settings; after `start` with the addresses and the port of what was started."""
        return self._settings

    @property
    def home(self) -> Home:
        """The locked data directory of the running instance."""
        assert self._home is not None, "start() comes first"
        return self._home

    @property
    def _children(self) -> Keeper:
        assert self._keeper is not None, "start() comes first"
        return self._keeper

    def start(self) -> Settings:
        """Start the servers nobody gave us, wait until they answer, return settings with URLs.

        Raises:
            CannotStart: nothing is left running.
        """
        if self._api_processes:
            self._choose_http_port()
        self._home = Home(self._settings.data_dir, ephemeral=self._ephemeral)
        self._keeper = Keeper(self._tell)
        atexit.register(self.stop)
        try:
            self._start_servers()
            if self._api_processes:
                key = self._settings.admin_key or self._home.secret("admin.key")
                self._settings = replace(self._settings, admin_key=key)
                runfile.write(self._home.path, self._settings)
        except BaseException:
            self.stop()
            raise
        return self._settings

    def start_engine(self) -> None:
        """Start the API processes and the workers; the schema must be there.

        Raises:
            CannotStart: metrics cannot be shown where the settings say.
        """
        if self._settings.metrics_port:
            self._gather()
        for number in range(self._api_processes):
            self._children.launch(self._process(f"api-{number}", "api"))
        for number in range(self._workers):
            self._children.launch(self._process(f"worker-{number}", "worker"))

    def wait_ready(
        self, within_s: float = 60.0, *, unless: Callable[[], bool] = lambda: False
    ) -> None:
        """Wait until our servers answer and, once it was started, the API may take orders.

        `unless` is asked all the time and ends the wait: somebody pressed Ctrl-C.

        Raises:
            CannotStart: the time is over, or the API dies again and again.
        """
        for name, answers in self._probes().items():
            if name in self.names() and not process.until(answers, within_s=within_s):
                raise CannotStart(f"{name} did not answer within {within_s:g} s.")
        if "api-0" in self.names():
            self._wait_api(within_s, unless)

    def _wait_api(self, within_s: float, unless: Callable[[], bool]) -> None:
        status, heard = 0, ""

        def settled() -> bool:
            nonlocal status, heard
            status, heard = ports.get(self.address, "/readyz")
            hopeless = self.restarts_of("api-0") >= DEATHS_ARE_A_PATTERN
            return status == HTTPStatus.OK or hopeless or unless()

        process.until(settled, within_s=within_s, every_s=0.05)
        if status == HTTPStatus.OK or unless():
            return
        words = process.last_words(self._children.recipe_of("api-0").log)
        raise CannotStart(f"The API is not ready: {heard}; its log ends: {words}")

    @property
    def address(self) -> str:
        """The base URL of the API, as this machine reaches it."""
        return ports.base_url(self._settings.http_host, self._settings.http_port)

    def launch(self, recipe: Recipe) -> None:
        """Start one more child and keep it running."""
        self._children.launch(recipe)

    def names(self) -> list[str]:
        """Return the names of all children, in the order they were first started."""
        return self._children.names()

    def pid_of(self, name: str) -> int | None:
        """Return a child's process id; None while it is dead."""
        return self._children.pid_of(name)

    def restarts_of(self, name: str) -> int:
        """Return how often a child was started again."""
        return self._children.restarts_of(name)

    def kill(
        self, name: str, word: signal.Signals = signal.SIGKILL, *, restart: bool = True
    ) -> int:
        """Send a child a signal and return the pid it went to.

        With `restart=False` it stays dead until `start_again`.
        """
        return self._children.kill(name, word, restart=restart)

    def start_again(self, name: str) -> int:
        """Start a dead child now, without waiting for the back-off; return its pid."""
        return self._children.start_again(name)

    def wait_replaced(self, name: str, pid: int, within_s: float = 5.0) -> int:
        """Wait until a child runs under another pid than this one and return that.

        Raises:
            TimeoutError: it did not come back in time.
        """
        if not process.until(lambda: self.pid_of(name) not in {None, pid}, within_s=within_s):
            raise TimeoutError(f"{name} was not started again within {within_s:g} s")
        return self.pid_of(name) or 0

    def log_of(self, name: str) -> str:
        """Return what a child has written since this instance started."""
        return self._children.recipe_of(name).log.read_text(encoding="utf-8", errors="replace")

    def stop(self) -> None:
        """Stop everything in order: API (it drains), workers, Postgres, Valkey; twice is once."""
        atexit.unregister(self.stop)
        keeper, home, gatherer = self._keeper, self._home, self._gatherer
        self._keeper = self._home = self._gatherer = None
        if gatherer is not None:
            gatherer.close()
        if keeper is not None:
            for stage in ("api-", "worker-", postgres.NAME, valkey.NAME):
                keeper.stop([name for name in keeper.names() if name.startswith(stage)])
            keeper.close()
        if home is not None:
            runfile.remove(home.path, self._settings)
            home.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # What start() is made of.

    def _choose_http_port(self) -> None:
        host, port = self._settings.http_host, self._settings.http_port
        if port:
            ports.refuse_taken(host, port)
        self._settings = replace(self._settings, http_port=port or ports.free_port(host))

    def _start_servers(self) -> None:
        begin = {valkey.NAME: self._begin_valkey, postgres.NAME: self._begin_postgres}
        if self._settings.valkey_url is not None:
            del begin[valkey.NAME]
        if self._settings.database_url is not None:
            del begin[postgres.NAME]
        for start in begin.values():
            start()
        for name, start in begin.items():
            self._await_server(name, start)

    def _begin_valkey(self) -> None:
        binary, port = binaries.find_valkey(self._settings.valkey_bin), ports.free_port()
        recipe = valkey.recipe(binary, self.home, self._settings, port)
        url = valkey.url(port, self.home.secret("valkey.password"))
        self._settings = replace(self._settings, valkey_url=url)
        self._children.launch(recipe, wanted=False)

    def _begin_postgres(self) -> None:
        found, port = binaries.find_postgres(self._settings.pg_bin), ports.free_port()
        recipe = postgres.recipe(found, self.home, port)
        url = postgres.url(port, self.home.secret("postgres.password"))
        self._settings = replace(self._settings, database_url=url)
        self._children.launch(recipe, wanted=False)

    def _await_server(self, name: str, begin: Callable[[], None]) -> None:
        """Wait for a first answer; a port that somebody took meanwhile is chosen again."""
        for attempt in range(PORT_ATTEMPTS):
            answers = self._probes()[name]
            settled = process.until(
                lambda answers=answers: answers() or self.pid_of(name) is None,  # type: ignore[misc]
                within_s=ANSWER_SECONDS_MAX,
            )
            if settled and self.pid_of(name) is not None:
                self._children.want(name)
                return
            words = process.last_words(self._children.recipe_of(name).log)
            if "in use" not in self.log_of(name) or attempt == PORT_ATTEMPTS - 1:
                raise CannotStart(f"{name} did not start; its log ends: {words}")
            begin()

    def _probes(self) -> dict[str, Callable[[], bool]]:
        cell, database = self._settings.valkey_url or "", self._settings.database_url or ""
        return {
            valkey.NAME: lambda: ports.valkey_answers(cell),
            postgres.NAME: lambda: ports.postgres_answers(database),
        }

    def _gather(self) -> None:
        host, port = self._settings.http_host, self._settings.metrics_port
        self._gatherer = Gatherer(
            self.home.path / "metrics", self.names, self.restarts_of, host=host, port=port
        )

    def _process(self, name: str, command: str) -> Recipe:
        # the port is ours: one process of several could not have it
        own = replace(self._settings, process_name=name, metrics_port=0)
        if self._gatherer is not None:
            own = replace(own, metrics_socket=self._gatherer.socket_of(name))
        return Recipe(
            name=name,
            command=(sys.executable, "-P", "-m", "engine", command),
            log=self.home.log(name),
            environment=settings_of.environment(own),
            stop_seconds=self._settings.drain_seconds + 2.0,
        )
