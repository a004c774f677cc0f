"""Lists in pages: an opaque cursor that holds the last key seen, and a bounded length."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec

from engine.infra.http.query import refuse_query
from engine.kernel.limits import PAGE_DEFAULT, PAGE_MAX

T = TypeVar("T")

_CURSOR_LENGTH_MAX: Final = 2_048
_INTEGER_MAX: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Page:
    """What a list call asked for; `after` is None on the first page."""

    limit: int
    after: list[Any] | None

    def answer(
        self, rows: Sequence[T], key: Callable[[T], Sequence[object]], show: Callable[[T], object]
    ) -> dict[str, object]:
        """Render a page of rows that were read with `LIMIT limit + 1`."""
        shown = rows[: self.limit]
        more = len(rows) > self.limit
        return {
            "items": [show(row) for row in shown],
            "next_cursor": cursor(key(shown[-1])) if more else None,
        }


def read_page(query: Mapping[str, str], *shape: type[str | int]) -> Page:
    """Return the page that `?cursor=&limit=` asks for.

    Raises:
        ValidationFailed: a cursor that we did not make for this list, or a limit out of bounds.
    """
    text = query.get("limit", str(PAGE_DEFAULT))
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= PAGE_MAX):
        refuse_query("limit", f"must be a whole number from 1 to {PAGE_MAX}")
    after = query.get("cursor")
    return Page(int(text[:9]), None if not after else _read_cursor(after, shape))


def cursor(key: Sequence[object]) -> str:
    """Return the cursor of the row with this key."""
    return urlsafe_b64encode(msgspec.json.encode(list(key))).decode().rstrip("=")


def _read_cursor(text: str, shape: Sequence[type[str | int]]) -> list[Any]:
    try:
        padded = text[:_CURSOR_LENGTH_MAX] + "=" * (-len(text) % 4)
        values = msgspec.json.decode(urlsafe_b64decode(padded.encode("ascii")), type=list[Any])
    except (ValueError, NotBase64, msgspec.DecodeError, RecursionError):
        values = []
    if [type(value) for value in values] != list(shape) or not all(map(_storable, values)):
        refuse_query("cursor", "must be a next_cursor of this list")
    return values


def _storable(value: str | int) -> bool:
    """Tell whether Postgres takes it: a cursor comes from the outside like everything else."""
    return "\x00" not in value if isinstance(value, str) else abs(value) <= _INTEGER_MAX
