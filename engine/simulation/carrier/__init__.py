"""A carrier, played by us: it gives numbers, loses answers, refuses, and takes parcels along.

`Desk(seed)` is a waybill port; its books are the truth to compare with: which request has which
number, and which of them were given back. `travel` says what becomes of a parcel on its way, and
`Server` speaks for the desk over HTTP.
"""

from engine.simulation.carrier.desk import Desk
from engine.simulation.carrier.journeys import Journeys, travel
from engine.simulation.carrier.serving import Server
from engine.simulation.carrier.types import Milestone, Rates

__all__ = ["Desk", "Journeys", "Milestone", "Rates", "Server", "travel"]
