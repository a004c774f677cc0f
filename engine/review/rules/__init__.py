"""Decisions about orders that are paid and not routed yet."""
