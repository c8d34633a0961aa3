"""Texts that repeat, kept once and named by numbers: those of a batch that is read, and those of rows to be written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.columns.kernel import ENTRY_WORDS

__all__ = ["Texts", "encoded", "with_slack"]

_FIRST_SLOTS = 1_024
_TAIL_BYTES = 4_096
_WORD = "\0" * 8
_MOST_ENCODED = 256
_NOTHING: tuple[Sequence[str] | None, Any, Any] = None, None, None
_ENCODED: dict[int, tuple[Sequence[str], NDArray[np.uint8], NDArray[np.int64]]] = {}


class Texts:
    """The distinct texts of a batch, as compiled code finds them.

    Args:
        most: How many there can be.
        size: How many bytes they can have.
    """

    def __init__(self, most: int, size: int) -> None:
        slots = np.empty(max(2 << most.bit_length(), _FIRST_SLOTS), np.int32)
        slots[:_FIRST_SLOTS] = -1
        state = np.array([0, _FIRST_SLOTS - 1, 0], np.int64)
        # Each has a zero byte after it, and the last one is written in whole words.
        kept = np.empty(size + most + 8, np.uint8)
        self.arrays = np.empty((most, ENTRY_WORDS), np.int64), slots, kept, state
        """What `schemas.columns.kernel.intern` works on."""

    def strings(self) -> tuple[list[str], list[int]]:
        """Decode them; gives also the numbers of those that are no UTF-8, which are empty."""
        entries, _, kept, state = self.arrays
        count, _, used = state.tolist()
        if not count:
            return [], []
        raw = kept[: used - 1].tobytes()
        try:
            strings = raw.decode().split("\0")
        except UnicodeDecodeError:
            strings = []
        if len(strings) == count:
            return strings, []
        strings, bad = [], []
        for number, (_, _, length, at) in enumerate(entries[:count].tolist()):
            try:
                strings.append(raw[at : at + length].decode())
            except UnicodeDecodeError:
                strings.append("")
                bad.append(number)
        return strings, bad


def encoded(strings: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Give the bytes of texts with a word to spare, and where each starts and how long it is.

    It remembers the lists that it last encoded, since they are asked for batch by batch and seldom grow.
    """
    known, raw, spans = _ENCODED.get(id(strings)) or _NOTHING
    # Equal, not only of one identity: the list may have changed, or be another at the same address.
    if known != strings:
        raw, spans = _encode(strings)
        if len(_ENCODED) == _MOST_ENCODED:
            _ENCODED.clear()
        _ENCODED[id(strings)] = strings[:], raw, spans
    return raw, spans


def _encode(strings: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    raw = np.frombuffer("\0".join([*strings, _WORD]).encode(), np.uint8)
    sizes = np.fromiter((len(text.encode()) for text in strings), np.int64, len(strings))
    return raw, np.stack((np.cumsum(sizes + 1) - sizes - 1, sizes), axis=1)


def with_slack(data: bytes, slack: int) -> tuple[Any, Any]:
    """Give bytes as an array, and the last of them as another that has so many zeros after them."""
    return np.frombuffer(data, np.uint8), np.frombuffer(data[-_TAIL_BYTES:] + bytes(slack), np.uint8)
