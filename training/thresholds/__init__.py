"""Alarm thresholds on purpose: for a wanted false-alarm rate or recall, with intervals."""
