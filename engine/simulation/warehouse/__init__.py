"""A warehouse's system, played by us: it does what it is asked, late, in parts, twice, or not.

`Books(knobs)` is the warehouse itself, a function of the seed, of what it was asked and of the
instants: no I/O, any clock. `Server` speaks for it, in both languages. What the books say left, has
left: they are what tests compare with.
"""

from engine.simulation.warehouse.books import Books
from engine.simulation.warehouse.serving import Server
from engine.simulation.warehouse.types import Held, Knobs

__all__ = ["Books", "Held", "Knobs", "Server"]
