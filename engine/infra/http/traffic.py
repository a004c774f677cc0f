"""How many requests of a route were answered, how, and how fast: two additions a request."""

from bisect import bisect_left

from engine.infra import metrics
from engine.infra.meters.kinds import SECONDS

OTHER = "other"  # whatever is no route of ours


class Traffic:
    """What is counted of one route, with its places bound beforehand."""

    __slots__ = ("_answered", "_counts", "_spread", "route")

    def __init__(self, route: str) -> None:
        """Take the template of its path, as the API's description has it."""
        self.route = route
        self._answered: dict[int, list[int]] = {}
        self._spread = metrics.HTTP_SECONDS.of(route)
        self._counts = self._spread.counts

    def add(self, status: int, seconds: float) -> None:
        """Count an answer; about a third of a microsecond."""
        try:
            self._answered[status][0] += 1
        except KeyError:
            self._answered[status] = place = metrics.HTTP_REQUESTS.of(self.route, str(status))
            place[0] += 1
        self._counts[bisect_left(SECONDS, seconds)] += 1
        self._spread.total += seconds
