"""`tidegate bench`: what an order costs here, against a floor and against what people would write.

It owns the load generator (a process of its own), the two servers the engine is compared with, and
the arithmetic. All comparisons are made within one run: figures of two machines, or of two minutes
of one machine, say little about each other.
"""
