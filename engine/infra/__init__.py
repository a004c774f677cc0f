"""Plumbing: servers, connections, scripts, HTTP edges. It knows no business word."""
