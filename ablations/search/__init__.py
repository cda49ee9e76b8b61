"""Searches for good settings: what is tuned, how it runs and what was found."""
