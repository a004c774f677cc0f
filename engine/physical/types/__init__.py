"""Nouns of physical stock: nodes, what is told of units in them, and what it comes to."""
