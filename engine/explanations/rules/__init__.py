"""Decisions of explanations: the chain, and what one change would do to it."""
