"""Decisions about logical stock: `base` is the chain, `matching` says which rule applies."""
