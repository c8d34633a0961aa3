"""Become another program that ends with its parent (Linux): `python _bound.py PARENT_PID PROGRAM ARGS…`.

A program of its own, run with `-I -S`, because code between fork and exec (`preexec_fn`) is not safe beside threads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(sys.argv[1]):  # the parent went before the kernel knew
        sys.exit(1)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # what we block is no business of the program
    try:
        os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606  no shell is wanted
    except OSError as error:
        sys.exit(f"{sys.argv[2]}: {error.strerror}")
