"""What a bar sums up, in compiled code: trades are added, minutes merged, volumes kept exact or known not to fit."""

from __future__ import annotations

import numpy as np

from processors.kernel import wide
from schemas.compiled import Array, compiled
from schemas.numbers import INT64_MAX

__all__ = ["add_trade", "merge"]

_ZERO = np.uint64(0)


@compiled()
def add_trade(slot: Array, at_us: int, step: Array, flags: int) -> None:
    """Add a trade at its event time; nothing depends on the order in which they are added."""
    price, size, offset = step.price, step.size, step.offset
    if not slot.count:
        slot.carry = 0
        slot.first_us = slot.last_us = at_us
        slot.first_at = slot.last_at = slot.first_offset = offset
        slot.open = slot.high = slot.low = slot.close = price
    if at_us < slot.first_us or (at_us == slot.first_us and offset < slot.first_at):
        slot.first_us, slot.first_at, slot.open = at_us, offset, price
    if at_us > slot.last_us or (at_us == slot.last_us and offset >= slot.last_at):
        slot.last_us, slot.last_at, slot.close = at_us, offset, price
    slot.high = max(slot.high, price)
    slot.low = min(slot.low, price)
    quote_high, quote_low = wide.multiply(price, size)
    buy = size if step.is_buy else 0
    _add_volume(slot, size, buy, size - buy, quote_high, quote_low)
    slot.count += 1
    if step.has_sequence:
        _add_sequences(slot, step.sequence, step.sequence)
    slot.first_offset = min(slot.first_offset, offset)
    slot.trade_flags |= flags


@compiled()
def merge(slot: Array, other: Array) -> None:
    """Add the trades of another set, which has some."""
    if not slot.count:
        slot.first_us, slot.first_at, slot.open = other.first_us, other.first_at, other.open
        slot.last_us, slot.last_at, slot.close = other.last_us, other.last_at, other.close
        slot.high, slot.low, slot.first_offset = other.high, other.low, other.first_offset
    if other.first_us < slot.first_us or (other.first_us == slot.first_us and other.first_at < slot.first_at):
        slot.first_us, slot.first_at, slot.open = other.first_us, other.first_at, other.open
    if other.last_us > slot.last_us or (other.last_us == slot.last_us and other.last_at > slot.last_at):
        slot.last_us, slot.last_at, slot.close = other.last_us, other.last_at, other.close
    slot.high = max(slot.high, other.high)
    slot.low = min(slot.low, other.low)
    _add_volume(slot, other.volume, other.buy_volume, other.sell_volume, other.quote_high, other.quote_low)
    slot.is_overfull |= other.is_overfull
    slot.count += other.count
    if other.has_sequence:
        _add_sequences(slot, other.first_sequence, other.last_sequence)
    slot.first_offset = min(slot.first_offset, other.first_offset)
    slot.trade_flags |= other.trade_flags


@compiled()
def _add_volume(slot: Array, size: int, buy: int, sell: int, quote_high: Array, quote_low: Array) -> None:
    if size > INT64_MAX - slot.volume:
        # Such a bar is not emitted, and never fits again: its sums may wrap from here on.
        slot.is_overfull = 1
    slot.volume += size
    slot.buy_volume += buy
    slot.sell_volume += sell
    # Below 2**126 as long as the volume fits: no price has more than 63 bits.
    slot.quote_high, slot.quote_low = wide.add(slot.quote_high, slot.quote_low, quote_high, quote_low)


@compiled()
def _add_sequences(slot: Array, first: int, last: int) -> None:
    if slot.has_sequence:
        slot.first_sequence = min(slot.first_sequence, first)
        slot.last_sequence = max(slot.last_sequence, last)
    else:
        slot.has_sequence, slot.first_sequence, slot.last_sequence = 1, first, last
