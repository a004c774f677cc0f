"""The statements of this package: reads of what was recorded."""

from typing import Final

from engine.infra import queries

SQL: Final = queries.load("engine.simulation.drill")
