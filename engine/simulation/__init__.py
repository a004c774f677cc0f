"""Everybody around the engine, played by us: buyers and their demand, a shop that opens a sale.

It owns the load client, seeded and replayed demand, the naive script that shows what happens
without an engine, and the demo that puts them together. It talks to the engine as buyers do, over
HTTP; beside that it only reads Postgres, to compare what buyers were told with what is recorded.
"""
