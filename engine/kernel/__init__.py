"""Words, bounds, errors and ways of encoding that every slice shares; no I/O, no asyncio."""
