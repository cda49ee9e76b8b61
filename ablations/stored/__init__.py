"""What is kept of trials and runs: the store, its copies elsewhere, the folder of a run, the table of its trials."""
