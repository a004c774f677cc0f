"""After the sale: money that goes back, and blocks that keep an order from shipping."""
