"""Orders as Postgres remembers them: the recorder that folds the cell's log, and what follows.

Invariant: everything in these tables up to `cells.last_id` is what the log says up to there, once.
A hold that is CONFIRMED and folded is decided here, under its order's row lock, and nowhere else.
"""
