"""The verbs of the desk: read what waits, and do in bulk what the single calls do."""
