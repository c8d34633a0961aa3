"""The last blocks of the chain: which transactions were seen, what waits for the block's time, what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from producers.numbering import TickFields

__all__ = ["Block", "BlockWindow", "Waiting"]

_MAX_WAITING = 20_000


@dataclass(frozen=True, slots=True)
class Waiting:
    """The ticks of one transaction, waiting for the time of their block."""

    index: int
    fields: tuple[TickFields, ...]
    received_us: int


@dataclass(slots=True)
class Block:
    """What is known of one height.

    Attributes:
        time_us: The header's time; None until the header came.
        num_txs: How many transactions the header says; None where unknown.
        seen: Indexes of the transactions that were read: one of them again is a duplicate.
        is_doubtful: Its transactions may have been sent while the subscription was down.
        is_settled: It has been checked for missing transactions, or is being filled.
    """

    height: int
    first_seen_us: int
    time_us: int | None = None
    num_txs: int | None = None
    seen: set[int] = field(default_factory=set)
    waiting: list[Waiting] = field(default_factory=list)
    is_doubtful: bool = False
    is_settled: bool = False

    @property
    def is_incomplete(self) -> bool:
        """Whether transactions are missing, as far as can be told."""
        return self.is_doubtful if self.num_txs is None else len(self.seen) < self.num_txs


class BlockWindow:
    """The last heights, bounded.

    Args:
        size: Heights remembered.
        join_us: How long a transaction waits for its block's header, and a block for its transactions.
    """

    def __init__(self, *, size: int, join_us: int) -> None:
        self._size = size
        self._join_us = join_us
        self._blocks: dict[int, Block] = {}
        self._waiting = 0

    def clear(self) -> None:
        """Forget everything, the chain having started anew."""
        self._blocks.clear()
        self._waiting = 0

    def get(self, height: int, now_us: int) -> Block:
        """Give a block, remembering it from now on."""
        block = self._blocks.get(height)
        if block is None:
            block = self._blocks[height] = Block(height, now_us)
        return block

    def wait(self, block: Block, waiting: Waiting) -> None:
        """Keep a transaction's ticks until the block's time is known."""
        block.waiting.append(waiting)
        self._waiting += 1

    def release(self, block: Block) -> list[Waiting]:
        """Take what waits in a block."""
        released, block.waiting = block.waiting, []
        self._waiting -= len(released)
        return released

    def overdue(self, now_us: int) -> list[Block]:
        """Give the blocks, lowest first, whose transactions have waited too long, or must make room."""
        late = [b for b in self._blocks.values() if b.waiting and self._has_waited(b, now_us)]
        excess = self._waiting - _MAX_WAITING
        if excess > 0:
            late = [b for b in self._blocks.values() if b.waiting]
        return sorted(late, key=lambda block: block.height)

    def doubt(self) -> None:
        """Note that delivery was interrupted: what is not settled may be incomplete.

        Transactions that still wait for their block are forgotten, so that filling the gap brings them with its time.
        """
        for block in self._blocks.values():
            for waiting in self.release(block):
                block.seen.discard(waiting.index)
            block.is_doubtful = block.is_doubtful or not block.is_settled

    def trim(self) -> list[Block]:
        """Forget the lowest blocks beyond the size; give those that still held something back."""
        dropped = []
        while len(self._blocks) > self._size:
            block = self._blocks.pop(min(self._blocks))
            if block.waiting:
                dropped.append(block)
        return dropped

    def unsettled(self, now_us: int) -> Iterator[Block]:
        """Give the blocks that have had time for their transactions to come, each once."""
        for block in self._blocks.values():
            if not block.is_settled and block.time_us is not None and self._has_waited(block, now_us):
                block.is_settled = True
                yield block

    def time_below(self, height: int) -> int | None:
        """Give the greatest known block time below a height."""
        times = [b.time_us for b in self._blocks.values() if b.time_us is not None and b.height < height]
        return max(times, default=None)

    def _has_waited(self, block: Block, now_us: int) -> bool:
        return now_us - block.first_seen_us > self._join_us
