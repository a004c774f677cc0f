"""Rules and what they are applied to, in Postgres."""
