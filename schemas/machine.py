"""What compiled code asks of the machine that Numba has no words for.

Unaligned words, their bits, and memory fetched ahead. Addresses and words are int64, which keeps Numba from making
floats of mixed signs. Nothing here is checked: who calls knows that the bytes are there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir
from numba import int64, types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["address", "leading_zeros", "load", "prefetch", "shifted", "store", "swapped", "trailing_zeros"]

_WORD = ir.IntType(64)
_BYTE_ALIGNED = 1
_emitting = cast(Callable[[Callable[..., Any]], Callable[..., int]], intrinsic)


@_emitting
def address(_context: Any, array: Any) -> Any:
    """Give where the bytes of a contiguous array begin."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        data = cgutils.create_struct_proxy(signature.args[0])(context, builder, values[0]).data
        return builder.ptrtoint(data, _WORD)

    return int64(array), generate


@_emitting
def load(_context: Any, at: Any) -> Any:
    """Read a little-endian word."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.load(builder.inttoptr(values[0], _WORD.as_pointer()), align=_BYTE_ALIGNED)

    return int64(int64), generate


@_emitting
def store(_context: Any, at: Any, word: Any) -> Any:
    """Write a little-endian word."""

    def generate(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        builder.store(values[1], builder.inttoptr(values[0], _WORD.as_pointer()), align=_BYTE_ALIGNED)
        return context.get_dummy_value()

    return types.void(int64, int64), generate


@_emitting
def swapped(_context: Any, word: Any) -> Any:
    """Reverse the bytes."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.bswap(values[0])

    return int64(int64), generate


@_emitting
def leading_zeros(_context: Any, word: Any) -> Any:
    """Count the zero bits above the highest one; the word is not 0."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.ctlz(values[0], ir.Constant(ir.IntType(1), 1))

    return int64(int64), generate


@_emitting
def trailing_zeros(_context: Any, word: Any) -> Any:
    """Count the zero bits below the lowest one; the word is not 0."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.cttz(values[0], ir.Constant(ir.IntType(1), 1))

    return int64(int64), generate


@_emitting
def shifted(_context: Any, word: Any, bits: Any) -> Any:
    """Shift right by less than 64, filling with zeros."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.lshr(*values)

    return int64(int64, int64), generate


@_emitting
def prefetch(_context: Any, at: Any) -> Any:
    """Begin to fetch the cache line of an address, to be written soon; any address will do."""

    def generate(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        number = ir.IntType(32)
        pointer = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        # For writing, to be kept in every cache, of data.
        hints = [ir.Constant(number, hint) for hint in (1, 3, 1)]
        builder.call(function, [builder.inttoptr(values[0], pointer), *hints])
        return context.get_dummy_value()

    return types.void(int64), generate
