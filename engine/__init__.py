"""Tidegate: the order engine behind a brand's sales days."""
