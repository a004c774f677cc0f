"""Nouns of shipments."""
