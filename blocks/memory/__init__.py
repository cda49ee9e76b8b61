"""A memory of vectors: how they are chosen, kept and searched."""
