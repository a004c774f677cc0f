"""Where orders come from: each shop, and what an order of it is (gate, external or record)."""
