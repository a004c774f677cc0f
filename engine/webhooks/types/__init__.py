"""Nouns of webhooks."""
