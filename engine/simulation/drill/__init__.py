"""Rehearsals of a loss on servers of their own, with a pass or a fail."""
