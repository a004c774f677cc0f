"""Decisions about routing: `deciding` is the whole; the others are its steps."""
