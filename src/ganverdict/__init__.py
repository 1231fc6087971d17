"""When was a GAN at its best, and when did it go wrong? NumPy alone."""
