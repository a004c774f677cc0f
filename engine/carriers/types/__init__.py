"""Nouns of the slice."""
