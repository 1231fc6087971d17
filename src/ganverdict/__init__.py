"""Read the log of any GAN training and say when it was best and when it went wrong."""
