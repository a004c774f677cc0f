"""Warehouses' systems: what they are asked, and what they tell; Qimen, or plain JSON."""
