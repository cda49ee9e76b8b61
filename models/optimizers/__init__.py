"""Optimisers, several as one, and schedules."""
