"""Our own orders in a venue's book, and the book without them.

Where a venue shows our orders, its best price may be ours: quoting after it would be following ourselves. So what is
open is taken out of the levels before anything is computed from them. Journal, reports and book come by different ways,
and for a moment around each change nobody can tell whether a level still, or already, holds an order. Then as much is
taken out as could be ours, so that what is left is surely others', and the book is flagged OWN_BOOK_UNKNOWN. It is
quoted all the same: every order placed or cancelled has such a moment, and a denial, which cancels everything, would
make the next one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from processors.kernel.steps import BookView, State
from schemas.enums import Flag, Mode, OrderAction, OrderStatus, Side
from schemas.records import BookLevel, ExecutionReport, Market, OrderIntent

__all__ = ["OwnOrders"]

_ENDS = frozenset({OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.REJECTED, OrderStatus.EXPIRED})
_KEPT_US = 120_000_000
"""How long an ended order is remembered, so that a record of it that is read late does not bring it back."""
_FILLS_KEPT = 64
"""Of one order; an older one forgotten takes more out of the book than is ours, for a moment."""
_NEVER_US = 1 << 62


@dataclass(slots=True)
class _Own:
    """One order; times by the clock of its executor.

    Attributes:
        placed_us: When it may have been in the book first.
        told_us: When the venue last said something of it; None while it has not, or has not said what became of it.
        fills: How much was filled in all, and when that was told.
        is_cancelling: Whether it was asked to be cancelled.
        out_us: When it is out of the book at the latest.
    """

    side: Side
    price: int
    size: int
    placed_us: int
    told_us: int | None = None
    fills: list[tuple[int, int]] = field(default_factory=list)
    is_cancelling: bool = False
    out_us: int = _NEVER_US

    def filled(self, before_us: int) -> int:
        """Give how much of it was surely filled at a time."""
        return max((filled for ts, filled in self.fills if ts < before_us), default=0)


class OwnOrders:
    """The orders of one (mode, account) in the books of one partition.

    Args:
        grace_us: How far the times of a book and of what is told of an order may be apart.

    Attributes:
        next_offset: After the last record of the journal that was taken.
    """

    def __init__(self, mode: Mode, account: str, grace_us: int) -> None:
        self.next_offset: int | None = None
        self._mode = mode
        self._account = account
        self._grace_us = grace_us
        self._orders: dict[Market, dict[str, _Own]] = {}

    def apply_intent(self, intent: OrderIntent, offset: int) -> None:
        """Take a record of the journal: an order may be in the book from now on, or out of it."""
        if (intent.mode, intent.account) != (self._mode, self._account):
            return
        self.next_offset = offset + 1
        own = self._own(intent, intent.ts_intent)
        if intent.action is OrderAction.PLACE:
            own.placed_us = min(own.placed_us, intent.ts_intent)
            own.out_us = min(own.out_us, _NEVER_US if intent.ts_expire is None else intent.ts_expire)
        else:
            own.is_cancelling = True

    def apply_report(self, report: ExecutionReport) -> None:
        """Take what became of an order."""
        if (report.mode, report.account) != (self._mode, self._account):
            return
        own, ts_us = self._own(report, report.ts_recv), report.ts_recv
        own.told_us = None if report.status is OrderStatus.UNKNOWN else ts_us
        if report.filled_size > own.filled(_NEVER_US):
            own.fills = [*own.fills, (ts_us, report.filled_size)][-_FILLS_KEPT:]
        if report.status in _ENDS:
            own.out_us = min(own.out_us, ts_us)

    def _own(self, record: OrderIntent | ExecutionReport, ts_us: int) -> _Own:
        orders = self._orders.setdefault(record.market, {})
        own = orders.get(record.order_id)
        if own is None:
            own = orders[record.order_id] = _Own(record.side, record.price, record.size, ts_us)
        return own

    def without(self, view: BookView) -> BookView:
        """Give a book without our orders; flagged where it is not known which of them it holds."""
        orders = self._orders.get(view.market)
        if not orders:
            return view
        book_us, is_sure = view.ts_change, True
        sizes: dict[Side, Counter[int]] = {Side.BUY: Counter(), Side.SELL: Counter()}
        for name, own in list(orders.items()):
            if book_us > own.out_us + _KEPT_US:
                del orders[name]
                continue
            size, is_told = self._shown(own, book_us)
            sizes[own.side][own.price] += size
            is_sure &= is_told
        bids, asks = _less(view.bids, sizes[Side.BUY]), _less(view.asks, sizes[Side.SELL])
        flags = view.flags if is_sure else view.flags | Flag.OWN_BOOK_UNKNOWN
        return replace(view, bids=bids, asks=asks, flags=flags)

    def _shown(self, own: _Own, book_us: int) -> tuple[int, bool]:
        """Give how much of a book may be this order, and whether it surely is so much."""
        grace_us = self._grace_us
        if book_us < own.placed_us - grace_us or book_us > own.out_us + grace_us:
            return 0, True
        is_settled = (
            own.told_us is not None
            and not own.is_cancelling
            and own.told_us + grace_us < book_us < own.out_us - grace_us
        )
        return own.size - own.filled(book_us - grace_us), is_settled

    def state(self) -> State:
        """Give what is remembered."""
        orders = [
            [*market, name, asdict(own)] for market, orders in self._orders.items() for name, own in orders.items()
        ]
        return {"next_offset": self.next_offset, "orders": orders}

    def restore(self, state: State) -> None:
        """Take back what `state` gave."""
        self.next_offset, self._orders = state["next_offset"], {}
        for venue, symbol, name, saved in state["orders"]:
            self._orders.setdefault((venue, symbol), {})[name] = _restored(saved)


def _restored(saved: dict[str, Any]) -> _Own:
    fills = [(ts_us, filled) for ts_us, filled in saved["fills"]]
    return _Own(**{**saved, "side": Side(saved["side"]), "fills": fills})


def _less(levels: Sequence[BookLevel], own: Counter[int]) -> tuple[BookLevel, ...]:
    left = ((level, level.size - own[level.price]) for level in levels)
    return tuple(replace(level, size=size) for level, size in left if size > 0)
