"""Elastic quotas in Postgres: who decides, what was seen, what was decided."""
