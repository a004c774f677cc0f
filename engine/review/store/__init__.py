"""Rules and reviews in Postgres; nothing here commits."""
