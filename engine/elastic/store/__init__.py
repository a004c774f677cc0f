"""Elastic quotas in Postgres: what was seen, what was decided."""
