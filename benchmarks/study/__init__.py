"""The original's experiment at its own size, on a GPU machine without the pipeline's packages."""
