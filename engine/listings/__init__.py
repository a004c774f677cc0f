"""Which SKU, and how many of it, one sellable link of a channel stands for."""
