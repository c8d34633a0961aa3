"""How large a decimal of the schemas may be."""

from __future__ import annotations

from schemas.numbers import INT64_MAX

__all__ = ["decimal_range"]

_INT64_DIGITS = 19


def decimal_range(precision: int) -> tuple[int, int]:
    """Give the least and the greatest unscaled integer of a decimal.

    Up to 19 digits are carried as int64, which ends a little before 19 nines do.
    """
    greatest = int(10**precision) - 1
    if precision == _INT64_DIGITS:
        return -INT64_MAX - 1, INT64_MAX
    return -greatest, greatest
