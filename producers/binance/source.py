"""Binance spot as a source of ticks: trades, tops, and books spliced from snapshots and changes.

The same object runs on a live socket and on a recording. Until a book is spliced nothing of it is written but STATUS,
so a feed without a snapshot gives trades and tops and a book that is never LIVE.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from producers.binance.protocol import (
    Ack,
    BookTicker,
    DepthUpdate,
    Ignored,
    Message,
    Refusal,
    Shutdown,
    Trade,
    book_levels,
    parse_frame,
    parse_snapshot,
    subscribe_frame,
)
from producers.core import Effects, Fetch
from producers.numbering import HeartbeatClock, TickFactory, TickFields
from producers.splice import Diff, Level, Snapshot, Splice, Spliced
from producers.wire import bad_frame
from schemas.enums import Flag, Side, TickKind
from schemas.errors import ContractError, DoesNotFit, ProtocolError
from schemas.instruments import Instruments
from schemas.numbers import PRICE_SCALE, SIZE_SCALE, to_units
from schemas.reasons import DeadLetterReason

__all__ = ["VENUE", "BinanceSource"]

VENUE = "binance"

_STREAMS = ("trade", "bookTicker", "depth@100ms")
_STREAMS_PER_REQUEST = 200
_ACK_TIMEOUT_US = 10_000_000
_SNAPSHOT_LEVELS = 1_000
_SNAPSHOT_TIMEOUT_US = 10_000_000
_RETRY_FIRST_US = 1_000_000
_RETRY_MAX_US = 30_000_000

# An event from further in our future than this says that the clocks disagree, not that the network is fast.
_MAX_SKEW_US = 500_000


@dataclass(slots=True)
class _Market:
    venue_symbol: str
    symbol: str
    splice: Splice = field(default_factory=Splice)
    status: Flag | None = None
    last_trade_id: int | None = None
    asked_us: int | None = None
    ask_again_us: int = 0
    retry_us: int = _RETRY_FIRST_US


class BinanceSource:
    """Binance's combined spot stream.

    Args:
        symbols: The venue's symbols to serve, e.g. `BTCUSDT`.
        aggregated: Those of them that have no `trade` stream: their prints are taken from `aggTrade`.
        lateness_us: How far the watermark stays behind the greatest event time.
        heartbeat_us: Longest time between two heartbeats.

    Raises:
        ProtocolError: UNKNOWN_SYMBOL, where no instrument or quote asset explains a symbol.
    """

    def __init__(
        self,
        symbols: Iterable[str],
        instruments: Instruments,
        *,
        aggregated: Iterable[str] = (),
        lateness_us: int = 1_000_000,
        heartbeat_us: int = 1_000_000,
    ) -> None:
        self._markets = {s.upper(): _Market(s.upper(), instruments.canonical(VENUE, s)) for s in symbols}
        self._aggregated = frozenset(s.upper() for s in aggregated)
        self._factory = TickFactory(VENUE, VENUE)
        self._clock = HeartbeatClock(lateness_us, heartbeat_us)
        self._unacknowledged: dict[int, int] = {}
        self._ignored: Counter[str] = Counter()

    @property
    def name(self) -> str:
        """The `source` of its ticks."""
        return VENUE

    @property
    def symbols(self) -> Sequence[tuple[str, str]]:
        """The (venue, symbol) markets that it serves."""
        return [(VENUE, market.symbol) for market in self._markets.values()]

    @property
    def counters(self) -> Mapping[str, int]:
        """How many messages of each event were known and left out."""
        return {f"ignored_{event}": count for event, count in self._ignored.items()}

    def open(self, now_us: int) -> Effects:
        """Start a session: subscribe to every market's streams; all books are synchronising."""
        self._factory.open(now_us)
        effects = Effects()
        for market in self._markets.values():
            market.splice.reset()
            market.status = market.asked_us = None
            market.ask_again_us, market.retry_us = now_us, _RETRY_FIRST_US
            self._say(market, Flag.NONE, now_us, effects)
        streams = [f"{symbol.lower()}@{stream}" for symbol in self._markets for stream in _STREAMS]
        requests = range(0, len(streams), _STREAMS_PER_REQUEST)
        effects.send = [
            subscribe_frame(streams[start : start + _STREAMS_PER_REQUEST], number)
            for number, start in enumerate(requests, 1)
        ]
        self._unacknowledged = dict.fromkeys(range(1, len(requests) + 1), now_us + _ACK_TIMEOUT_US)
        effects.ticks += self._clock.beat(now_us, self._factory)
        return effects

    def receive(self, frame: str | bytes, now_us: int) -> Effects:
        """Take one frame."""
        effects = Effects()
        try:
            self._take(parse_frame(frame), now_us, effects)
        except ContractError as error:
            effects.bad.append(bad_frame(error, frame))
        effects.ticks += self._clock.beat(now_us, self._factory)
        return effects

    def fetched(self, tag: str, body: bytes | None, now_us: int) -> Effects:
        """Take a depth snapshot, asked for or not, by its tag `depth:SYMBOL`."""
        effects = Effects()
        try:
            market = self._market(tag.removeprefix("depth:"))
            market.asked_us = None
            if body is not None:
                found = parse_snapshot(body)
                levels = book_levels(found.bids, found.asks)
                snapshot = Snapshot(found.last_id, levels, found.ts_event, now_us)
                self._write(market, market.splice.snapshot(snapshot), now_us, effects)
            self._ask(market, now_us, effects)
        except ContractError as error:
            effects.bad.append(bad_frame(error, body or b""))
        return effects

    def tick(self, now_us: int) -> Effects:
        """Beat, ask again for snapshots that are missing, give up on a subscription that is never acknowledged."""
        effects = Effects(ticks=self._clock.beat(now_us, self._factory))
        for market in self._markets.values():
            if market.asked_us is not None and now_us >= market.asked_us + _SNAPSHOT_TIMEOUT_US:
                market.asked_us = None
            self._ask(market, now_us, effects)
        if any(now_us >= deadline for deadline in self._unacknowledged.values()):
            self._unacknowledged.clear()
            effects.reconnect = f"a subscription was not acknowledged within {_ACK_TIMEOUT_US // 1_000_000} s"
        return effects

    def close(self, now_us: int) -> Effects:
        """End the session: every market is STALE until the next one."""
        effects = Effects()
        for market in self._markets.values():
            market.splice.reset()
            self._say(market, Flag.STALE, now_us, effects)
        self._unacknowledged.clear()
        return effects

    def _take(self, message: Message, now_us: int, effects: Effects) -> None:
        match message:
            case Trade():
                self._take_trade(message, now_us, effects)
            case BookTicker():
                self._take_top(message, now_us, effects)
            case DepthUpdate():
                self._take_depth(message, now_us, effects)
            case Ignored(event):
                self._ignored[event] += 1
            case Ack(request_id):
                self._unacknowledged.pop(request_id or 0, None)
            case Refusal(_, detail):
                self._unacknowledged.clear()
                effects.reconnect = f"a subscription was refused: {detail}"
            case Shutdown():
                effects.reconnect = "the server announced its shutdown"

    def _take_trade(self, trade: Trade, now_us: int, effects: Effects) -> None:
        market = self._market(trade.symbol)
        if trade.is_aggregate != (market.venue_symbol in self._aggregated):
            # The other of its two trade streams tells the same trades.
            self._ignored["aggTrade" if trade.is_aggregate else "trade"] += 1
            return
        flags = _skew(trade.ts_event, now_us)
        if trade.is_aggregate:
            flags |= Flag.AGGREGATE
        if market.last_trade_id is not None and trade.trade_id > market.last_trade_id + 1:
            flags |= Flag.GAPPED
        part = TickFields(
            symbol=market.symbol,
            kind=TickKind.TRADE,
            side=trade.side,
            price=to_units(trade.price, PRICE_SCALE),
            size=to_units(trade.size, SIZE_SCALE),
            ts_event=trade.ts_event,
            sequence=trade.trade_id,
            trade_id=f"a{trade.trade_id}" if trade.is_aggregate else str(trade.trade_id),
            flags=int(flags),
        )
        market.last_trade_id = max(trade.trade_id, market.last_trade_id or 0)
        self._clock.observe(trade.ts_event, now_us)
        effects.ticks += self._factory.message(now_us, [part])

    def _take_top(self, top: BookTicker, now_us: int, effects: Effects) -> None:
        symbol = self._market(top.symbol).symbol
        flags = _skew(top.ts_event, now_us)
        parts = [
            TickFields(
                symbol=symbol,
                kind=TickKind.TOP,
                side=side,
                price=to_units(price, PRICE_SCALE),
                size=to_units(size, SIZE_SCALE),
                ts_event=top.ts_event,
                sequence=top.update_id,
                flags=int(flags),
            )
            for side, (price, size) in ((Side.BUY, top.bid), (Side.SELL, top.ask))
        ]
        effects.ticks += self._factory.message(now_us, parts)

    def _take_depth(self, depth: DepthUpdate, now_us: int, effects: Effects) -> None:
        market = self._market(depth.symbol)
        self._clock.observe(depth.ts_event, now_us)
        try:
            levels = book_levels(depth.bids, depth.asks)
        except DoesNotFit:
            # A book without this level would be wrong and look right.
            market.splice.lose()
            self._say(market, Flag.GAPPED, now_us, effects)
            raise
        diff = Diff(depth.after_id, depth.last_id, levels, depth.ts_event, now_us)
        self._write(market, market.splice.diff(diff), now_us, effects)
        self._ask(market, now_us, effects)

    def _write(self, market: _Market, spliced: Spliced, now_us: int, effects: Effects) -> None:
        if spliced.gapped:
            self._say(market, Flag.GAPPED, now_us, effects)
        for change in spliced.apply:
            flags = _skew(change.ts_event, change.ts_recv)
            parts = []
            if isinstance(change, Snapshot):
                flags |= Flag.SNAPSHOT
                parts.append(_part(market, TickKind.CLEAR, (Side.NONE, 0, 0), change, flags))
                market.status, market.retry_us = None, _RETRY_FIRST_US
            parts += [_part(market, TickKind.LEVEL, level, change, flags) for level in change.levels]
            effects.ticks += self._factory.message(change.ts_recv, parts)

    def _say(self, market: _Market, status: Flag, now_us: int, effects: Effects) -> None:
        if market.status != status:
            market.status = status
            effects.ticks += self._factory.status(now_us, market.symbol, status)

    def _ask(self, market: _Market, now_us: int, effects: Effects) -> None:
        if not market.splice.needs_snapshot or market.asked_us is not None or now_us < market.ask_again_us:
            return
        market.asked_us = now_us
        market.ask_again_us = now_us + market.retry_us
        market.retry_us = min(2 * market.retry_us, _RETRY_MAX_US)
        path = f"/api/v3/depth?symbol={market.venue_symbol}&limit={_SNAPSHOT_LEVELS}"
        effects.fetch.append(Fetch(f"depth:{market.venue_symbol}", path))

    def _market(self, venue_symbol: str) -> _Market:
        market = self._markets.get(venue_symbol)
        if market is None:
            detail = f"{venue_symbol[:64]!r} is not among the symbols subscribed"
            raise ProtocolError(DeadLetterReason.UNKNOWN_SYMBOL, detail)
        return market


def _skew(ts_event: int | None, ts_recv: int) -> Flag:
    is_ahead = ts_event is not None and ts_event > ts_recv + _MAX_SKEW_US
    return Flag.CLOCK_SKEW if is_ahead else Flag.NONE


def _part(market: _Market, kind: TickKind, level: Level, change: Snapshot | Diff, flags: Flag) -> TickFields:
    side, price, size = level
    return TickFields(
        symbol=market.symbol,
        kind=kind,
        side=side,
        price=price,
        size=size,
        ts_event=change.ts_event,
        sequence=change.last_id,
        flags=int(flags),
    )
