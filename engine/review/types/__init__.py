"""Rules of review, what they judge, and what comes of it."""
