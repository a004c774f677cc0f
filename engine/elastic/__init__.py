"""Units lent from slow to fast shops while a sale runs: decided on burn rate, done as moves."""
