"""Logical stock: which of the units in places may be sold at all, by rules that are data."""
