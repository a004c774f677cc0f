"""Decisions about parcels on their way; pure."""
