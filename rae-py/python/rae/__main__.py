"""`python -m rae` is the command `rae`."""

import sys

from rae.cli import main

if __name__ == "__main__":
    sys.exit(main())
