"""The scan on a GPU by kernels of our own, compiled by Triton."""
