"""What marketplaces are to show: a numbered quantity a listing, and what they confirmed of it.

A marketplace sells by its own number, so units may leave its pool only once it confirmed a lower
one: such moves are drains, and they live here too.
"""
