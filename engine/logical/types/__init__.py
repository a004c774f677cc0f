"""Rules as they are told, and what they leave of the units at a node."""
