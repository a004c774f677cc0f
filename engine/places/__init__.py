"""What a node can do and when, and where places are: profiles, calendars, regions, days off.

It knows nodes and neither orders nor carriers; instants are computed from what it is given.
"""
