"""What routing decides about and what it decides: `core` is the whole of it, without I/O."""
