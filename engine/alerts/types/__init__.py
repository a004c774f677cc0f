"""Nouns of alerts: rules as they are told, what is measured, and what stands."""
