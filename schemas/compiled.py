"""How functions of this project are compiled: once per machine, kept on disk, without the interpreter's lock."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from enum import EnumType
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, TypeVar, cast

import numpy as np
from numba import config, njit

__all__ = ["Array", "Kept", "compiled"]

Array = Any
"""A NumPy array or record inside compiled code, where its type is in the signature."""

_Function = TypeVar("_Function", bound=Callable[..., Any])

_OPTIONS = {"nogil": True, "_nrt": False}
_PART_OPTIONS = {"forceinline": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def compiled(*signature: Any) -> Callable[[_Function], _Function]:
    """Compile a function with Numba: at once where it has a signature, else as a part of each of its callers.

    A call costs more than most of our functions do, since each array among the arguments is passed as seven numbers.

    Compiled code neither allocates nor keeps an array: it is given all that it writes to. So it runs without Numba's
    reference counts, which else take four fifths of the time.
    """
    options = _OPTIONS if signature else _OPTIONS | _PART_OPTIONS

    def compile_it(function: _Function) -> _Function:
        is_kept = Kept.from_function(cast(FunctionType, function), function.__code__.co_filename) is not None
        return cast(_Function, njit(*signature, cache=is_kept, **options)(function))

    return compile_it


class Kept:
    """Where Numba keeps a compiled function, and how it knows that what it keeps is of today's source.

    By itself Numba looks at the function's source file: it misses a change of another module, of which a function or a
    constant is compiled into this one. Here it looks at a digest of the function's code and of all that it refers to,
    functions in the same way. Files are overwritten when the digest changes. They are in `NUMBA_CACHE_DIR` where that
    is set, else beside the source, else in the user's cache folder; where none can be written to, nothing is kept.

    The interface is that of Numba's `NUMBA_CACHE_LOCATOR_CLASSES`.
    """

    def __init__(self, function: FunctionType, file: str, folder: Path) -> None:
        self._py_file = file
        self._folder = folder
        self._digest = _digest(function)

    @classmethod
    def from_function(cls, function: FunctionType, file: str) -> Kept | None:
        """Give the place of a function; None where nothing can be written."""
        folder = _folder(Path(file).absolute().parent)
        return cls(function, file, folder) if folder else None

    def ensure_cache_path(self) -> None:
        """Make sure that the folder is there."""
        self._folder.mkdir(parents=True, exist_ok=True)

    def get_cache_path(self) -> str:
        """Give the folder."""
        return str(self._folder)

    def get_source_stamp(self) -> str:
        """Give the digest."""
        return self._digest

    def get_disambiguator(self) -> str:
        """Tell functions of one name apart: there are none in one file."""
        return ""


config.CACHE_LOCATOR_CLASSES = f"{Kept.__module__}.{Kept.__name__}"


@cache
def _folder(beside: Path) -> Path | None:
    """Give the first folder that can be written to."""
    name = f"{beside.name}_{hashlib.sha256(bytes(beside)).hexdigest()[:16]}"
    # Without a home directory the last one stays as it is written, and is none.
    user = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))  # noqa: PTH111
    given = [Path(config.CACHE_DIR).absolute() / name] if config.CACHE_DIR else []
    folders = given or [beside / "__pycache__", *([user / "flashmm" / name] if user.is_absolute() else [])]
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError:
            continue
        return folder
    return None


@cache
def _digest(function: FunctionType) -> str:
    cells = (cell.cell_contents for cell in function.__closure__ or ())
    parts = [
        np.__version__,
        repr((_OPTIONS, _PART_OPTIONS)),
        *_parts(function.__code__, function.__globals__),
        *map(_meaning, cells),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _parts(code: CodeType, names: dict[str, Any]) -> Iterator[str]:
    """Give what a function does: its instructions, its constants, and what its global names stand for."""
    yield code.co_code.hex()
    yield repr((code.co_names, code.co_varnames))
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _parts(constant, names)
        else:
            yield repr(constant)
    for name in code.co_names:
        if name in names:
            yield _meaning(names[name])


def _meaning(value: Any) -> str:
    if isinstance(inner := getattr(value, "py_func", None), FunctionType):
        return _digest(inner)
    # An intrinsic writes instructions: what matters is in itself.
    if isinstance(inner := getattr(value, "_defn", value), FunctionType):
        return "\n".join(_parts(inner.__code__, {}))
    if isinstance(value, ModuleType):
        return value.__name__
    if isinstance(value, EnumType):
        return repr(list(value))
    if isinstance(value, np.ndarray):
        return repr((value.dtype, value.shape, value.tobytes()))
    return repr(value)
