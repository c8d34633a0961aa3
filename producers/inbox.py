"""What waits for a source, bounded in number and in bytes: who puts waits for room."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TypeAlias

from producers.core import BadFrame

__all__ = ["Answer", "Closed", "Frame", "Inbox"]


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame, and when it was received."""

    data: str | bytes
    now_us: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a Fetch; None when it failed."""

    tag: str
    body: bytes | None


@dataclass(frozen=True, slots=True)
class Closed:
    """The end of a connection, and the frame that it ended for, if one."""

    reason: str
    bad: BadFrame | None = None


_Item: TypeAlias = Frame | Answer | Closed


class Inbox(asyncio.Queue[_Item]):
    """A queue with two bounds; what alone is larger than the second is taken when the queue is empty.

    Args:
        max_items, max_bytes: Its bounds.
    """

    def __init__(self, max_items: int, max_bytes: int) -> None:
        super().__init__(max_items)
        self._max_bytes = max_bytes
        self._bytes = 0

    def full(self) -> bool:
        """Tell whether a bound is reached."""
        return super().full() or self._bytes >= self._max_bytes

    def frames_left(self) -> int:
        """Take everything out; gives how many frames there were."""
        return sum(isinstance(self.get_nowait(), Frame) for _ in range(self.qsize()))

    def _put(self, item: _Item) -> None:
        self._bytes += _size(item)
        super()._put(item)

    def _get(self) -> _Item:
        item = super()._get()
        self._bytes -= _size(item)
        return item


def _size(item: _Item) -> int:
    match item:
        case Frame(data):
            return len(data)
        case Answer(_, body):
            return len(body or b"")
    return 0
