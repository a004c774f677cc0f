"""Keep rules, and say what they leave of stock."""
