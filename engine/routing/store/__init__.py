"""Plans, queues and decisions in Postgres; nothing here commits."""
