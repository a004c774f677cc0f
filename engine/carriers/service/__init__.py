"""What the slice does."""
