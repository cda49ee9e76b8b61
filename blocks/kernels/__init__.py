"""What kernels are made of: vectors inside Numba, threads, machine code kept on disk, and how tracers see them."""

from importlib.util import find_spec

HAS_NUMBA = find_spec("numba") is not None
