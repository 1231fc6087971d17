"""One training run: trained, measured, assessed, saved and tracked."""
