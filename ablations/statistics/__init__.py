"""Statistics of a table of trials: averages, intervals, verdicts and effects."""

from dlkd.ablations.statistics.verdict import verdicts

__all__ = ["verdicts"]
