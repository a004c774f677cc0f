"""Verbs of alerts: keep rules, look at stock, list what stands."""
