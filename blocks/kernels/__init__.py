"""What kernels are made of: vectors inside Numba, threads, machine code kept on disk, and how tracers see them."""
