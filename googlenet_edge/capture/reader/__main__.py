"""Reads one network stream: run as a script, by path, by :mod:`googlenet_edge.capture.network`.

The address, with its password, comes over standard input: a command line and an environment can be read by others.
"""

from __future__ import annotations

import json
import sys


def main() -> None:
    """Take the settings, one line of JSON, and read the stream until standard input ends."""
    with open(0, "rb", buffering=0, closefd=False) as stdin:
        settings = json.loads(stdin.readline())
    # The packages that the parent process finds, wherever it has them from.
    sys.path[:] = settings.pop("path")
    from googlenet_edge.capture.reader.run import Settings, run

    run(Settings(**settings), frames_fd=int(sys.argv[1]))


if __name__ == "__main__":
    main()
