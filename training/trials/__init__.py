"""Trials: what decides a result, the folder that it lies in, and the run that makes it."""
