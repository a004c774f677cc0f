"""Decisions about what marketplaces show; no I/O."""
