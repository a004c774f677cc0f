"""Keep plans, bind what was decided, and queue what was not."""
