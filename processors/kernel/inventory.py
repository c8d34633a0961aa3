"""What a worker holds: the last positions that the executor wrote, plus the executions after them.

The two topics are read without an order between them, so an execution may come before the position that it belongs
to: fills of a market without a position wait for it, and are added if the position does not include them yet.
"""

from __future__ import annotations

from processors.kernel.steps import State
from schemas.enums import Mode, Side
from schemas.records import ExecutionReport, Market, Position

__all__ = ["Inventory"]

_MAX_WAITING = 1_000


class _Held:
    """One market: quantity after all executions below `next_offset`; None until a position says where to start."""

    __slots__ = ("dropped", "next_offset", "quantity", "waiting")

    def __init__(self) -> None:
        self.quantity: int | None = None
        self.next_offset = 0
        self.waiting: list[tuple[int, int]] = []
        self.dropped = -1


class Inventory:
    """Signed positions by market, of one mode, account and partition; quantities in units of sizes.

    A report or position that is delivered again changes nothing. Records of another mode or account are ignored.
    """

    def __init__(self, mode: Mode, account: str) -> None:
        self._mode = mode
        self._account = account
        self._held: dict[Market, _Held] = {}

    def position(self, market: Market) -> tuple[int, int] | None:
        """Give (quantity, offset after the last execution in it), or None while no position is known."""
        held = self._held.get(market)
        if held is None or held.quantity is None:
            return None
        return held.quantity, held.next_offset

    def next_offset(self) -> int | None:
        """Give the offset of `trading.executions` from which reports may be missing; None: no position known."""
        known = [held.next_offset for held in self._held.values() if held.quantity is not None]
        return min(known, default=None)

    def apply_position(self, position: Position) -> None:
        """Take a position as the state after the executions that it includes; an older one changes nothing."""
        if (position.mode, position.account) != (self._mode, self._account):
            return
        held = self._held.setdefault(position.market, _Held())
        if held.quantity is not None and position.executions_offset < held.next_offset:
            return
        if held.dropped >= position.executions_offset:
            return  # a fill after this position was forgotten: only a later position can tell
        held.quantity, held.next_offset = position.quantity, position.executions_offset
        waiting, held.waiting = held.waiting, []
        for offset, change in waiting:
            _add(held, offset, change)

    def apply_execution(self, report: ExecutionReport, offset: int) -> None:
        """Add a report's fill, if any; `offset` is its own on `trading.executions`."""
        if (report.mode, report.account) != (self._mode, self._account):
            return
        held = self._held.setdefault(report.market, _Held())
        size = report.last_size or 0
        change = size if report.side is Side.BUY else -size
        if held.quantity is not None:
            _add(held, offset, change)
        elif not held.waiting or offset > held.waiting[-1][0]:
            held.waiting.append((offset, change))
            if len(held.waiting) > _MAX_WAITING:
                held.dropped = held.waiting.pop(0)[0]

    def state(self) -> State:
        """Give the positions."""
        return {
            "held": [[*m, h.quantity, h.next_offset, h.waiting, h.dropped] for m, h in sorted(self._held.items())],
        }

    def restore(self, state: State) -> None:
        """Take back what `state` gave."""
        self._held = {}
        for venue, symbol, quantity, next_offset, waiting, dropped in state["held"]:
            held = self._held[venue, symbol] = _Held()
            held.quantity, held.next_offset, held.dropped = quantity, next_offset, dropped
            held.waiting = [(offset, change) for offset, change in waiting]


def _add(held: _Held, offset: int, change: int) -> None:
    assert held.quantity is not None
    if offset >= held.next_offset:
        held.quantity += change
        held.next_offset = offset + 1
