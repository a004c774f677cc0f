"""Conditions that operators write, in CEL: checked with positions, bounded, made into Python.

The library checks and, where our generator does not know a construct, evaluates. What orders meet
is one generated function for all conditions of a plan.
"""
