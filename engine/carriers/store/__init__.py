"""What the slice keeps in Postgres."""
