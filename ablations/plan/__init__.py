"""What a grid asks for: its rows, its cells and their keys."""
