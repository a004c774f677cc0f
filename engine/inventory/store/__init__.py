"""Inventory in Postgres: documents, what the cell is to be told, and pools as recorded."""
