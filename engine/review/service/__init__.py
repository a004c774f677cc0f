"""Keep the rules, and judge orders by them."""
