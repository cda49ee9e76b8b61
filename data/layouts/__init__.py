"""Datasets as they are published or as a user has them: each file reads one layout of folders."""
