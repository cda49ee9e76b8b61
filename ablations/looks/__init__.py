"""Seeds that are added to comparisons while results are looked at."""
