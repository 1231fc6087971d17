"""Trainings that no threshold was chosen by, registered before they ran: `benchmarks.held_out`."""
