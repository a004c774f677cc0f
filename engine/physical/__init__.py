"""What is where: nodes, units in them as warehouses count and move them, and who they wait for.

It knows places and not pools: what may be sold of it, and by whom, is decided by later layers.
"""
