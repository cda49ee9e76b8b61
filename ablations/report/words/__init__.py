"""The words of a report: numbers as text, and every sentence that it says."""
