"""The pictures of a report, drawn from a grid's table and from what its trials kept."""
