"""Decisions about shipments; pure."""
