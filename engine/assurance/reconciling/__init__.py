"""The reconciler: sides that must agree are compared all the time, in small steps.

Invariants: a drift is raised only when two looks found the same, each with Postgres behind the
position of the log at which the cell was read; and nothing that could sell a unit twice is repaired
by itself: then the SKU is paused or the cell closed.
"""
