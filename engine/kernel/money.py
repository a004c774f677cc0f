"""Money is an integer of minor units and a currency; nothing here ever rounds a unit away."""

from collections.abc import Sequence


def apportion(total: int, weights: Sequence[int]) -> list[int]:
    """Split `total` minor units by weights so that the parts sum to it exactly.

    What integer division leaves over goes to the largest remainders, first ones first on a tie;
    weights that are all 0 count as equal. Source: the largest-remainder (Hare) method.
    """
    if not weights:
        return []
    scale = sum(weights)
    if scale == 0:
        weights, scale = [1] * len(weights), len(weights)
    parts = [total * weight // scale for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(total * weights[i] % scale), i))
    for i in by_remainder[: total - sum(parts)]:
        parts[i] += 1
    return parts
