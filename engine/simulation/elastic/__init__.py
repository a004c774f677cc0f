"""What elastic quotas would have done: a sale played over in simulated time, without servers."""
