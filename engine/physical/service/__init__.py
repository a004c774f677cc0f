"""Keep nodes, record what is told of stock, and find it."""
