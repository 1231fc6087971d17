"""`python -m ganverdict PATH...`."""

import sys

from ganverdict.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
