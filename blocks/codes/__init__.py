"""Codes of the patches of an image: a transformer, capsules, the density of codes, the image made of them."""
