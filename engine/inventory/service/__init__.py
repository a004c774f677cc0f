"""Verbs of the inventory: keep documents, publish them to the cell, act on pools by hand."""
