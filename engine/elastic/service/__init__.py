"""Verbs of the elastic quotas: look, decide, carry out, show."""
