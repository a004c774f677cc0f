"""Decisions about physical stock: `folding` is the written rule, `lines` reads what is told."""
