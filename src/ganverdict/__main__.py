"""`python -m ganverdict PATH...`."""

import sys


def _main() -> int:
    try:
        from ganverdict.cli import main
    except KeyboardInterrupt:
        return 130
    return main()


if __name__ == "__main__":
    sys.exit(_main())
