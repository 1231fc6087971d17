"""Pages to look at: each one file that opens from disk and loads nothing."""
