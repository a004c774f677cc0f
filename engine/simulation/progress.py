"""What happens, on stderr while it happens: a live panel on a terminal, plain lines elsewhere."""

import threading
from collections.abc import Callable
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.table import Table

_REFRESH_PER_SECOND: Final = 4
_PLAIN_EVERY_S: Final = 2.0


class Progress:
    """Sentences and one table of counts; `say` may be called from any thread."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """Look at where stderr goes; rich honours NO_COLOR and TERM."""
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._monotonic = monotonic
        self._began = monotonic()
        self._live: Live | None = None
        self._plain_at = float("-inf")
        self._lock = threading.Lock()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the beginning."""
        return self._monotonic() - self._began

    def say(self, sentence: str) -> None:
        """Write one sentence with the time at which it happened."""
        with self._lock:
            self._console.print(f"{self.elapsed_s:5.1f} s  {sentence}", markup=False)

    def counts(self, counts: dict[str, str]) -> None:
        """Show the counts of this moment."""
        if not self._console.is_terminal:
            if self.elapsed_s - self._plain_at >= _PLAIN_EVERY_S:
                self._plain_at = self.elapsed_s
                self.say(", ".join(f"{name} {value}" for name, value in counts.items()))
            return
        if self._live is None:
            self._live = Live(
                console=self._console,
                refresh_per_second=_REFRESH_PER_SECOND,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
        table = Table(title=f"{self.elapsed_s:.0f} s")
        for name in counts:
            table.add_column(name, justify="right")
        table.add_row(*counts.values())
        self._live.update(table)

    def end(self) -> None:
        """Take the panel away; sentences stay."""
        if self._live is not None:
            self._live.stop()
            self._live = None
