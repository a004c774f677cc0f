"""What Postgres keeps of webhooks."""
