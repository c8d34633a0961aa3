"""Whether a record of a market is believed: its fields, its age, its order, its price."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from processors.kernel.dedup import trade_key
from processors.kernel.held import Held
from schemas.enums import Flag, Side, TickKind
from schemas.reasons import RejectReason
from schemas.records import Tick
from tests.oracle.spike import Prices, SpikeGuard, SpikeLimits
from tests.oracle.window import TradeWindow

__all__ = ["MarketJudge", "invalid"]

_NO_SIDE = frozenset({TickKind.HEARTBEAT, TickKind.BLOCK, TickKind.STATUS, TickKind.CLEAR})


def invalid(tick: Tick) -> RejectReason | None:
    """Say what is wrong with a tick by itself, None if nothing is."""
    kind = tick.kind
    if kind in _NO_SIDE:
        return None
    if kind is TickKind.UNKNOWN:
        return RejectReason.UNKNOWN_KIND
    if tick.side is Side.NONE:
        return RejectReason.UNKNOWN_SIDE
    size = tick.size
    if size < 0 or (not size and kind is TickKind.TRADE):
        return RejectReason.INVALID_SIZE
    if tick.price <= 0 and (size or kind is not TickKind.TOP):
        return RejectReason.INVALID_PRICE
    return None


class MarketJudge:
    """What is remembered of one market to judge its trades and tops.

    Args:
        max_age_us: Age when received from which they are too old.
        skew_us: An event time further after its receipt than this is flagged.
        window: Trade keys remembered.
    """

    def __init__(self, limits: SpikeLimits, max_age_us: int, skew_us: int, window: int) -> None:
        self.trades = SpikeGuard(limits)
        self.tops = SpikeGuard(limits)
        self._max_age_us = max_age_us
        self._skew_us = skew_us
        self._size = window
        self._window = TradeWindow(window)
        self._last_event_us: int | None = None
        # By side: source, session, sequence and event time of the last top.
        self._last_tops: dict[Side, tuple[str, int, int | None, int | None]] = {}

    def trade_fault(self, tick: Tick) -> RejectReason | None:
        """Say why a trade is rejected, None if it is not; its key is known from now on."""
        if self._is_too_old(tick):
            return RejectReason.TOO_OLD
        return None if self._window.add(trade_key(tick)) else RejectReason.DUPLICATE

    def trade_marks(self, tick: Tick) -> int:
        """Give the flags that an accepted trade earns by its times, and note them."""
        ts_event = tick.ts_event
        if ts_event is None:
            return Flag.NO_EVENT_TIME
        marks = int(Flag.CLOCK_SKEW) if ts_event > tick.ts_recv + self._skew_us else 0
        last = self._last_event_us
        if last is not None and ts_event < last:
            return marks | Flag.OUT_OF_ORDER
        self._last_event_us = ts_event
        return marks

    def top_fault(self, held: Sequence[Held]) -> RejectReason | None:
        """Say why the tops of a message are rejected, None if they are not; they are the last ones from now on."""
        for _, tick in held:
            if self._is_too_old(tick):
                return RejectReason.TOO_OLD
            if self._is_before_last(tick):
                return RejectReason.OUT_OF_ORDER
        for _, tick in held:
            self._last_tops[tick.side] = (tick.source, tick.session, tick.sequence, tick.ts_event)
        return None

    @staticmethod
    def top_prices(held: Sequence[Held]) -> Prices:
        """Give the best bid and ask that a message states."""
        bid: int | None = None
        ask: int | None = None
        for _, tick in held:
            if tick.size:
                if tick.side is Side.BUY:
                    bid = tick.price
                else:
                    ask = tick.price
        return bid, ask

    def _is_too_old(self, tick: Tick) -> bool:
        ts_event = tick.ts_event
        return ts_event is not None and tick.ts_recv - ts_event > self._max_age_us and not tick.flags & Flag.REPLAYED

    def _is_before_last(self, tick: Tick) -> bool:
        last = self._last_tops.get(tick.side)
        if last is None:
            return False
        source, session, sequence, ts_event = last
        if source != tick.source or session != tick.session:
            return False
        if sequence is not None and tick.sequence is not None:
            return tick.sequence <= sequence
        return ts_event is not None and tick.ts_event is not None and tick.ts_event < ts_event

    def pending(self) -> list[Held]:
        """Give the records held as spikes."""
        return [held for guard in (self.trades, self.tops) for one in guard.held for held in one.ticks]

    def state(self) -> list[Any]:
        """Give what is remembered."""
        return [
            self.trades.state(),
            self.tops.state(),
            self._last_event_us,
            [[str(side), *last] for side, last in sorted(self._last_tops.items())],
        ]
