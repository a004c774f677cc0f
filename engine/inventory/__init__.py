"""What may be sold: pools and the policies that fill them, published to the cell as deltas.

Only the cell changes a pool; this slice writes intentions down and sends them. The layers between
physical stock and these pools are to come: they will feed `supply_policies` and nothing else here.
"""
