"""Alerts in Postgres: rules, what is measured, what stands."""
