"""What is done with warehouses' systems."""
