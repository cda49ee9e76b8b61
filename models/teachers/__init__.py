"""Frozen pretrained networks and their weights."""
