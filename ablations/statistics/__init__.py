"""What a table of trials supports: averages, intervals, tests and effects."""
