"""Logistics in Postgres; nothing here commits."""
