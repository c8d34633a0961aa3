"""The interpreter of a process that does short work for a long time."""

from __future__ import annotations

import gc
import sys

__all__ = ["settle"]

_SWITCH_S = 0.0005
_GC_THRESHOLD = 20_000  # new objects; Python's 700 is reached every few batches


def settle() -> None:
    """Fit the interpreter to short work, once everything is loaded.

    What is loaded stays: the collector need not look at it again, which takes it a tenth of a second. A thread that
    comes back from compiled code or a socket waits for the other to let go: half a millisecond at most, where Python's
    own five would be a good part of a tick's way.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD)
    sys.setswitchinterval(_SWITCH_S)
