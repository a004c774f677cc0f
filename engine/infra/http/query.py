"""Parameters of a query string: they have no JSON pointer, so a refusal says which one it is."""

from collections.abc import Collection
from typing import NoReturn

from aiohttp import web

from engine.kernel.errors import ValidationFailed
from engine.kernel.types import Fault


def word_of(request: web.Request, name: str, words: Collection[str]) -> str:
    """Return one of these words, `""` when the parameter is not given.

    Raises:
        ValidationFailed: it is another one.
    """
    text = request.query.get(name, "")
    if text and text not in words:
        refuse_query(name, f"must be one of {', '.join(words)}")
    return text


def refuse_query(name: str, detail: str) -> NoReturn:
    """Raise ValidationFailed for one parameter."""
    raise ValidationFailed([Fault("", f"query parameter {name}: {detail}")])
