"""Exact 128-bit arithmetic for compiled code: unsigned numbers as a high and a low half of 64 bits.

A product of price and size exceeds 64 bits at a notional of 184, and compiled code would wrap it silently.
"""

from __future__ import annotations

import numpy as np

from schemas.compiled import Array, compiled
from schemas.machine import leading_zeros

__all__ = ["add", "divide_half_even", "multiply"]

_HALF = np.uint64(32)
_MASK = np.uint64(0xFFFFFFFF)
_ZERO, _ONE, _WORD = np.uint64(0), np.uint64(1), np.uint64(64)


@compiled()
def multiply(one: int, other: int) -> tuple[Array, Array]:
    """Multiply two numbers of int64 that are not negative."""
    a, b = np.uint64(one), np.uint64(other)
    a_low, a_high, b_low, b_high = a & _MASK, a >> _HALF, b & _MASK, b >> _HALF
    low, left, right, high = a_low * b_low, a_high * b_low, a_low * b_high, a_high * b_high
    middle = (low >> _HALF) + (left & _MASK) + (right & _MASK)
    return high + (left >> _HALF) + (right >> _HALF) + (middle >> _HALF), (low & _MASK) | (middle << _HALF)


@compiled()
def add(high: Array, low: Array, more_high: Array, more_low: Array) -> tuple[Array, Array]:
    """Add two numbers, modulo 2**128."""
    total = low + more_low
    return high + more_high + (_ONE if total < low else _ZERO), total


@compiled()
def _digit(rest: Array, next_half: Array, high: Array, low: Array) -> Array:
    """Give the next 32 bits of a quotient, of a divisor in two halves whose highest bit is set."""
    digit = rest // high
    left = rest - digit * high
    # Too large by two at most.
    while digit > _MASK or digit * low > ((left << _HALF) | next_half):
        digit -= _ONE
        left += high
        if left > _MASK:
            break
    return digit


@compiled()
def _divide(high: Array, low: Array, by: Array) -> tuple[Array, Array]:
    """Divide by a greater number than the high half: Knuth's algorithm D in digits of 32 bits."""
    shift = np.uint64(leading_zeros(np.int64(by)))
    by <<= shift
    if shift:
        high = (high << shift) | (low >> (_WORD - shift))
    low <<= shift
    by_high, by_low = by >> _HALF, by & _MASK
    first = _digit(high, low >> _HALF, by_high, by_low)
    rest = ((high << _HALF) | (low >> _HALF)) - first * by
    second = _digit(rest, low & _MASK, by_high, by_low)
    rest = ((rest << _HALF) | (low & _MASK)) - second * by
    return (first << _HALF) | second, rest >> shift


@compiled()
def divide_half_even(high: Array, low: Array, divisor: int) -> Array:
    """Divide by a positive int64, rounding to the nearest, ties to even; the quotient must fit int64."""
    by = np.uint64(divisor)
    if high == _ZERO:
        quotient, rest = low // by, low % by
    else:
        quotient, rest = _divide(high, low, by)
    twice = rest << _ONE
    if twice > by or (twice == by and quotient & _ONE):
        quotient += _ONE
    return np.int64(quotient)
