"""The statements of this slice."""

from typing import Final

from engine.infra import queries

SQL: Final = queries.load("engine.webhooks")
