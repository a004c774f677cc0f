"""The exception desk: what waits for a person in one list, and what can be done of it."""
