"""Which node sends what of an order, by which carrier, and why."""
