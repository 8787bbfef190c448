"""`python -m audiox_core COMMAND`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
