"""Does one job: run as a script, by path, by :mod:`~googlenet_edge.scenarios.matrix.process`.

Standard input brings the paths that packages are found in, then the job, and ends when the parent does: then this
process ends too, whatever it is doing.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading


def main() -> None:
    """Read the job, do it, and write messages about it to what was standard output."""
    messages_fd = os.dup(1)
    os.dup2(2, 1)  # libraries print; what they say must not stand among the messages
    stdin = open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115 - a descriptor, open to the end
    paths = json.loads(stdin.readline())
    line = stdin.readline()

    def follow_parent() -> None:
        while stdin.read(1):
            pass
        os._exit(1)

    threading.Thread(target=follow_parent, name="parent", daemon=True).start()
    # Where memory runs out, the kernel shall end this process and not the parent.
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:  # noqa: PTH123
        file.write("1000")
    sys.path[:] = paths
    from googlenet_edge.scenarios.matrix.work import do

    do(line, messages_fd)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
