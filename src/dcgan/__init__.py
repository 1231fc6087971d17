"""A DCGAN on MNIST, measured while it trains: tensors and arithmetic, no files, no tracking."""
