"""Certainty: a cell is opened only when it and Postgres agree, and `verify` proves that they do.

Invariant: a cell that this slice opened had no gap between its log and Postgres' position, and
every pool added up.
"""
