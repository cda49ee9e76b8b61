"""Training of the missing cells, and the store of their results."""
