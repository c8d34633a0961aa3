"""Whether a record of a market is believed: its fields, its age, its order, its price."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from processors.kernel.dedup import trade_key
from processors.kernel.held import Held
from processors.kernel.memory import Memory
from processors.kernel.spike import Prices, SpikeLimits, TopGuard, TradeGuard
from schemas.enums import Flag, Side, TickKind
from schemas.reasons import RejectReason
from schemas.records import Tick

__all__ = ["MarketJudge", "invalid"]

_SIDES = (Side.BUY, Side.SELL)
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
        memory, market: Where what compiled code needs too is kept.
    """

    def __init__(self, limits: SpikeLimits, max_age_us: int, skew_us: int, memory: Memory, market: int) -> None:
        memory.fit_market(market)
        memory.prints.rows["is_judged"][market] = memory.tops.rows["is_judged"][market] = True
        self.market = market
        self.trades = TradeGuard(limits, memory.prints, market)
        self.tops = TopGuard(limits, memory.tops, market)
        self._max_age_us = max_age_us
        self._skew_us = skew_us
        self._memory = memory

    def trade_fault(self, tick: Tick) -> RejectReason | None:
        """Say why a trade is rejected, None if it is not; its key is known from now on."""
        if self._is_too_old(tick):
            return RejectReason.TOO_OLD
        return None if self._memory.seen.add(self.market, trade_key(tick)) else RejectReason.DUPLICATE

    def trade_marks(self, tick: Tick) -> int:
        """Give the flags that an accepted trade earns by its times, and note them."""
        ts_event = tick.ts_event
        if ts_event is None:
            return Flag.NO_EVENT_TIME
        marks = int(Flag.CLOCK_SKEW) if ts_event > tick.ts_recv + self._skew_us else 0
        row = self._memory.prints.rows[self.market]
        if row["has_event"] and ts_event < row["last_event_us"]:
            return marks | Flag.OUT_OF_ORDER
        row["has_event"], row["last_event_us"] = True, ts_event
        return marks

    def top_fault(self, held: Sequence[Held]) -> RejectReason | None:
        """Say why the tops of a message are rejected, None if they are not; they are the last ones from now on."""
        for _, tick in held:
            if self._is_too_old(tick):
                return RejectReason.TOO_OLD
            if self._is_before_last(tick):
                return RejectReason.OUT_OF_ORDER
        for _, tick in held:
            self._note_top(tick.side, tick.source, tick.session, tick.sequence, tick.ts_event)
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
        last = self._last_top(tick.side)
        if last is None:
            return False
        source, session, sequence, ts_event = last
        if source != tick.source or session != tick.session:
            return False
        if sequence is not None and tick.sequence is not None:
            return tick.sequence <= sequence
        return ts_event is not None and tick.ts_event is not None and tick.ts_event < ts_event

    def _last_top(self, side: Side) -> tuple[str, int, int | None, int | None] | None:
        """Give source, session, sequence and event time of the last top of a side."""
        row = self._memory.last_tops.rows[2 * self.market + _SIDES.index(side)]
        exists, source, session, sequence, ts_event, no_sequence, no_event = row.item()
        if not exists:
            return None
        name = self._memory.names.texts[source]
        return name, session, None if no_sequence else sequence, None if no_event else ts_event

    def _note_top(self, side: Side, source: str, session: int, sequence: int | None, ts_event: int | None) -> None:
        self._memory.last_tops.rows[2 * self.market + _SIDES.index(side)] = (
            True,
            self._memory.names.text(source),
            session,
            sequence or 0,
            ts_event or 0,
            sequence is None,
            ts_event is None,
        )

    def pending(self) -> list[Held]:
        """Give the records held as spikes."""
        return [held for guard in (self.trades, self.tops) for one in guard.held for held in one.ticks]

    def state(self) -> list[Any]:
        """Give what is remembered."""
        row = self._memory.prints.rows[self.market]
        return [
            self.trades.state(),
            self.tops.state(),
            int(row["last_event_us"]) if row["has_event"] else None,
            [[str(side), *last] for side in _SIDES if (last := self._last_top(side)) is not None],
        ]

    def restore(self, state: list[Any]) -> None:
        """Take back what `state` gave."""
        trades, tops, last_event_us, last_tops = state
        row = self._memory.prints.rows[self.market]
        row["has_event"], row["last_event_us"] = last_event_us is not None, last_event_us or 0
        self.trades.restore(trades)
        self.tops.restore(tops)
        for side, source, session, sequence, ts_event in last_tops:
            self._note_top(Side(side), source, session, sequence, ts_event)
