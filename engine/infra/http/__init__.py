"""The HTTP edge every slice shares: errors, keys, pages, headers, the description of the API."""
