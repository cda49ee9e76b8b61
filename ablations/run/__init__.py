"""Training of the cells that are missing, and where their results lie."""
