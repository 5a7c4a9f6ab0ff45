"""``python -m googlenet_edge`` and the ``googlenet-edge`` command."""

import sys

from googlenet_edge.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
