"""Many orders in one request: each item is decoded, judged and answered by itself.

A bad item never spoils its neighbours, so the body is first only cut into the bytes of its items.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Annotated, Final, TypeVar

import msgspec
from aiohttp import web

from engine.infra.http import problem
from engine.kernel import codec
from engine.kernel.errors import EngineError
from engine.kernel.limits import LINES_PER_BATCH_MAX, ORDERS_PER_BATCH_MAX

T = TypeVar("T")

_TURN_EVERY: Final = 32  # items; decoding a whole batch would keep every other request waiting


class Batch(codec.Wire, frozen=True):
    """A body of many orders."""

    orders: Annotated[
        list[msgspec.Raw], msgspec.Meta(min_length=1, max_length=ORDERS_PER_BATCH_MAX)
    ]


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = codec.Decoder(Batch)


def cut(raw: bytes) -> list[bytes]:
    """Return the bytes of each item.

    Raises:
        ValidationFailed: not a list of orders, or more than a request may have.
    """
    return [bytes(item) for item in _decode(raw).orders]


async def decoded(
    items: Sequence[bytes], decode: Callable[[bytes], Awaitable[T]]
) -> list[T | EngineError]:
    """Decode item by item; a refusal stands where its item would."""
    results: list[T | EngineError] = []
    for n, item in enumerate(items):
        if n % _TURN_EVERY == _TURN_EVERY - 1:
            await asyncio.sleep(0)
        try:
            results.append(await decode(item))
        except EngineError as refusal:
            results.append(refusal)
    return results


def require_lines(count: int) -> None:
    """Refuse a request with more lines than one may have; nothing of it was done.

    Raises:
        ValidationFailed: it has more.
    """
    if count > LINES_PER_BATCH_MAX:
        codec.refuse("/orders", f"at most {LINES_PER_BATCH_MAX} lines in one request, not {count}")


def answer(results: Sequence[object]) -> web.Response:
    """Answer all items in their order, each with a `status` as its own call would have."""
    told = [problem.document(one) if isinstance(one, EngineError) else one for one in results]
    body = _encode({"results": told})
    return web.Response(body=body, status=HTTPStatus.OK, content_type="application/json")
