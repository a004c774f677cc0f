"""Sales: window, stock set aside per channel, limits per buyer, prices."""
