"""What is sold: SKUs, by the identifier that every other slice uses."""
