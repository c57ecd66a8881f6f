"""``python -m trimtab`` is the command ``trimtab``."""

import sys

from trimtab.cli import main

if __name__ == "__main__":
    sys.exit(main())
