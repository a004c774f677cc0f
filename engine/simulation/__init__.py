"""Everybody around the engine, played by us: buyers and their demand, a shop that opens a sale.

It owns the load client, seeded and replayed demand, marketplaces that sell by themselves and tell
of it late and badly, the naive script that shows what happens without an engine, the demo that puts
them together, and the bench. It talks to the engine as buyers and marketplaces do, over HTTP;
beside that it only reads Postgres, to compare what they were told with what is recorded. The bench
alone also calls the cell's script by itself, and has tables of its own for what people would write.
"""
