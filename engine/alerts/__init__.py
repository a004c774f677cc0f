"""Alerts of stock: what a person should look at before a buyer notices it."""
