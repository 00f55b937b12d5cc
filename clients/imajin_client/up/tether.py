"""Becomes the command of its arguments, tied to the life of the supervisor: `tether.py SUPERVISOR_PID COMMAND...`.

When the supervisor dies, however it dies, the kernel kills the command. A script of its own and no `preexec_fn`, which
would fork the supervisor's gRPC threads. Only Linux knows this; elsewhere it does nothing.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def tie(supervisor: int, number: int) -> None:
    """Has this process sent signal `number` when its parent, `supervisor`, dies. See prctl(2)."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != supervisor:
        # It died before this process was tied to it.
        os.kill(os.getpid(), number)


if __name__ == "__main__":
    tie(int(sys.argv[1]), signal.SIGKILL)
    os.execvp(sys.argv[2], sys.argv[2:])
