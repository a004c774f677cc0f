"""Decisions of the shadow: which facts are kept, what was free when, what follows from it."""
