"""Physical stock in Postgres."""
