"""How functions of this project are compiled: once per machine, kept on disk, without the interpreter's lock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

__all__ = ["Array", "compiled"]

Array = Any
"""A NumPy array or record inside compiled code, where its type is in the signature."""

_Function = TypeVar("_Function", bound=Callable[..., Any])


def compiled(*signature: Any) -> Callable[[_Function], _Function]:
    """Compile a function with Numba: at once where it has a signature, else as a part of each of its callers.

    A call costs more than most of our functions do, since each array among the arguments is passed as seven numbers.

    Compiled code neither allocates nor keeps an array: it is given all that it writes to. So it runs without Numba's
    reference counts, which else take four fifths of the time.
    """
    make = njit(*signature, cache=True, nogil=True, _nrt=False, forceinline=not signature)
    return cast(Callable[[_Function], _Function], make)
