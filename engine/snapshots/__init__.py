"""Orders that a marketplace has sold already: full snapshots, in any order, late, twice, changed.

Nothing here is refused for stock, window, pause or limits: the sale has happened. The newest
snapshot of an order says what it is; what it wants beyond our stock is owed to it.
"""
