"""What a batch of log entries says, sorted by what the recorder does with it; pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, get_args

import msgspec

from engine.infra.log import Entry
from engine.kernel import events
from engine.kernel.errors import Closed
from engine.kernel.events import Granted, LogEvent, Reserved, Synced
from engine.orders import rules
from engine.orders.store import REFERENCE
from engine.orders.types import Logged, Post

_KINDS: Final = frozenset(kind.__struct_config__.tag for kind in get_args(LogEvent))


@dataclass(slots=True)
class Stretch:
    """One batch: `end` is the position behind it, `claims` how many of its orders are new."""

    end: str
    entries: int = 0
    claims: int = 0
    posts: list[Post] = field(default_factory=list)
    logged: list[Logged] = field(default_factory=list)
    grants: list[tuple[Granted, str]] = field(default_factory=list)
    reference: list[tuple[str, list[LogEvent]]] = field(default_factory=list)
    unreadable: list[tuple[Entry, str]] = field(default_factory=list)


def read(entries: Sequence[Entry]) -> Stretch:
    """Return what the entries say, up to a checkpoint; what nobody could read is `unreadable`.

    Raises:
        Closed: an entry is of a later version, whose own process will record it.
    """
    stretch = Stretch(entries[0].log_id)
    for entry in entries:
        stretch.end = entry.log_id
        stretch.entries += 1
        try:
            found = events.decode(entry.events)
        except msgspec.MsgspecError as error:
            _refuse_later(entry, error)
            stretch.unreadable.append((entry, f"{type(error).__name__}: {error}"[:500]))
            continue
        _refuse_later(entry)
        _add(stretch, entry, found)
        if found and isinstance(found[-1], events.Checkpoint):
            break
    return stretch


def _add(stretch: Stretch, entry: Entry, found: list[LogEvent]) -> None:
    log_id, payloads = entry.log_id, entry.payloads
    stretch.posts += rules.posts(log_id, found)
    reference: list[LogEvent] = []
    for event in found:
        payload = b""
        if isinstance(event, Reserved | Synced):
            stretch.claims += rules.is_new(event)
            if 0 < event.payload <= len(payloads):
                payload = payloads[event.payload - 1]
        elif isinstance(event, Granted):
            stretch.grants.append((event, log_id))
        elif isinstance(event, REFERENCE):
            reference.append(event)
        stretch.logged.append(Logged(log_id, event, payload))
    if reference:
        stretch.reference.append((log_id, reference))


def _refuse_later(entry: Entry, error: msgspec.MsgspecError | None = None) -> None:
    later = entry.version not in events.VERSIONS
    if not later and error is not None:
        try:
            heads = msgspec.msgpack.decode(entry.events, type=list[list[Any]])
        except msgspec.MsgspecError:
            return
        later = any(head and isinstance(head[0], str) and head[0] not in _KINDS for head in heads)
    if later:
        raise Closed(f"log entry {entry.log_id} is of version {entry.version!r}: update tidegate")
