"""Become another program that dies with the process that started this one.

Run as `python -I -S tether.py PARENT PROGRAM [ARGUMENT ...]`. The kernel keeps
the wish (PR_SET_PDEATHSIG) over exec, so that even a SIGKILL of the test
runner leaves no server behind.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask to be killed with the parent, then become the program."""
    parent, *command = sys.argv[1:]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        sys.exit(f"prctl failed: {os.strerror(ctypes.get_errno())}")
    # The parent may have died before the wish was made.
    if os.getppid() != int(parent):
        sys.exit("the process that asked for this one is gone")
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
