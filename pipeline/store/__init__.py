"""What lies on disk: data, weights, checkpoints, history."""
