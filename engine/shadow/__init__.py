"""Shadow mode: what another system sold, counted and showed, against what would be published.

Nothing here reaches a cell, a pool, a balance or a shop: facts have tables of their own, which only
the report reads.
"""
