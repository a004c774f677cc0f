"""What is decided of webhooks; pure."""
