"""Decisions of the slice; no I/O."""
