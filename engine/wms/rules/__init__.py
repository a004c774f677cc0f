"""What is said to warehouses and what they say, in bytes and in our words; no I/O."""
