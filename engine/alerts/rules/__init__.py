"""Decisions about alerts: what a rule may say, and what rules make of what is measured."""
