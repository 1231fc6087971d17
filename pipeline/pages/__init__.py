"""Pages to look at, which load nothing from elsewhere; but for `browser`, each is one file."""
