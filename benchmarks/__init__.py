"""Claims about the project, each of which can be run."""
