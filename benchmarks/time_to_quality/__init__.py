"""How soon are samples good? `python -m benchmarks.time_to_quality`."""
