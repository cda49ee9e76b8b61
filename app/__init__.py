"""A page in the browser: maps of several models side by side, their thresholds, and the report: `dlkd app`."""
