"""What a table of trials supports: averages, intervals, verdicts and effects."""

from dlkd.ablations.statistics.verdict import verdicts

__all__ = ["verdicts"]
