"""A marketplace, played by us: it sells on its own counter and tells us of it later, and badly.

`Marketplace(spec)` trades from the seed: the same spec gives the same bytes. `feed` is what reaches
us, in bodies for `POST /v1/orders:sync`; `truth` is what every order came to, to compare with.
`Live(spec)` sells while time passes, and only what it was told to show.
"""

from engine.simulation.marketplace.feed import Marketplace
from engine.simulation.marketplace.live import Live
from engine.simulation.marketplace.types import Delivery, Listing, Rates, Spec, Truth

__all__ = ["Delivery", "Listing", "Live", "Marketplace", "Rates", "Spec", "Truth"]
