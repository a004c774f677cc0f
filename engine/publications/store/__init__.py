"""Publications in Postgres, and what of them the cell alone knows."""
