"""What is kept of a training: weights, the state of an interrupted one, checkpoints."""
