"""The scan on a CPU, compiled by Numba: kernels, their cache on disk and their threads."""
