"""What nodes were asked to ship, what they said of it, and what of it was stopped.

Stands before orders and aftersales: a cancel, a refund or a change of address is decided with what
nodes have, in its own transaction. Knows no HTTP call to a node and no routing.
"""
