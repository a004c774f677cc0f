"""An everyday shop whose orders are sent: two warehouses, two carriers and a plan, all played.

Everything is asked of the running instance as an operator would, over HTTP. The warehouses' books
are what the result is compared with: they know what left, whatever anybody was told.
"""

from engine.simulation.fulfilment.story import play
from engine.simulation.fulfilment.tables import show
from engine.simulation.fulfilment.types import Fulfilled

__all__ = ["Fulfilled", "play", "show"]
