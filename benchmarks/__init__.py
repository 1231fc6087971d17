"""Claims about the project, each of which can be run."""

import pipeline  # noqa: F401  # puts this clone's src, where dcgan is, on the path
