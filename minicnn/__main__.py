"""`python -m minicnn` is the same as `minicnn`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
