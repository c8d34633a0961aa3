"""The markets of a partition: accepted messages become trades, quotes and books."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from processors.kernel.bookdesk import Books
from processors.kernel.config import NormaliseConfig
from processors.kernel.counters import TickCounters
from processors.kernel.cursor import Cursor
from processors.kernel.dedup import trade_key
from processors.kernel.held import Held
from processors.kernel.judge import MarketJudge
from processors.kernel.memory import Growing, Memory
from processors.kernel.spike import Print
from processors.kernel.steps import GapStep, State, TradeStep, WatermarkStep
from schemas.enums import Flag, TickKind
from schemas.reasons import RejectReason
from schemas.records import Market, Tick

__all__ = ["Markets"]

_DEPTH_KINDS = frozenset({TickKind.LEVEL, TickKind.CLEAR, TickKind.STATUS})


class Markets:
    """Every market of a partition."""

    def __init__(
        self, config: NormaliseConfig, counters: TickCounters, cursor: Cursor, memory: Memory, books: Books
    ) -> None:
        self._memory = memory
        self._config = config
        self._counters = counters
        self._cursor = cursor
        self._books = books
        self._judges: dict[Market, MarketJudge] = {}

    # What is lost

    def hear(self, source: str, session: int) -> None:
        """Note that a source spoke."""
        number = self._memory.names.text(source)
        self._memory.fit_source(number)
        row = self._memory.heard.rows[number]
        if not row["is_heard"] or row["session"] <= session:
            self._memory.heard.rows[number] = (1, session, self._cursor.now_us)

    def gap(self, market: Market) -> None:
        """Tell the later stages that a market's data has a hole here."""
        self._cursor.steps.append(GapStep(market, self._cursor.offset, self._cursor.ts_recv))

    def restart(self, market: Market) -> None:
        """A new connection: what was said since the old one is missing, and a book is no book until its snapshot."""
        self.gap(market)
        self._books.status(market, 0)

    def lose(self, held: Sequence[Held]) -> None:
        """Parts of a message are not applied: what they would have changed is wrong from here on."""
        kinds = {tick.kind for _, tick in held}
        tick = held[0][1]
        if not tick.symbol or not kinds - {TickKind.UNKNOWN}:
            return
        if kinds != {TickKind.TOP}:
            self.gap(tick.market)
        self._books.miss(tick.market, depth=bool(kinds & _DEPTH_KINDS), top=TickKind.TOP in kinds)

    def lose_all(self) -> None:
        """A part of the log is missing: every market has a hole, every book is wrong."""
        for market in dict.fromkeys((*self._judges, *self._books)):
            self.gap(market)
            self._books.status(market, Flag.GAPPED)

    # What is said

    def apply(self, held: Sequence[Held]) -> None:
        """Apply a whole, valid message; what its trades and tops are judged to be is counted here."""
        tops: list[Held] = []
        levels: list[Tick] = []
        for entry in held:
            tick = entry[1]
            kind = tick.kind
            if kind is TickKind.LEVEL or kind is TickKind.CLEAR:
                levels.append(tick)
            elif kind is TickKind.TOP:
                tops.append(entry)
            elif kind is TickKind.TRADE:
                self._trade(*entry)
            else:
                self._counters.accepted += 1
                self._say(*entry)
        if levels:
            self._counters.accepted += len(levels)
            self._books.apply_depth(levels[-1].market, levels)
        if tops:
            self._top(tops)

    def _say(self, offset: int, tick: Tick) -> None:
        if tick.kind is TickKind.HEARTBEAT:
            number = self._memory.names.text(tick.source)
            self._memory.fit_source(number)
            self._memory.beats.rows[number] = (True, tick.session, tick.ts_recv)
            self._cursor.steps.append(WatermarkStep(tick.source, tick.watermark, offset, tick.ts_recv))
        elif tick.kind is TickKind.STATUS and tick.symbol:
            if tick.flags & (Flag.GAPPED | Flag.STALE):
                self.gap(tick.market)
            self._books.open(tick.market)
            self._books.status(tick.market, tick.flags)

    def _top(self, held: list[Held]) -> None:
        judge = self.judge_of(held[0][1].market)
        reason = judge.top_fault(held)
        if reason is not None:
            self._counters.reject_all(held, reason)
            return
        prices = judge.top_prices(held)
        if judge.tops.passes(prices):
            self._accept_top(held, 0)
            return
        disproved, confirmed = judge.tops.judge(Print(self._cursor.now_us, prices, held))
        for one in disproved:
            self._counters.reject_all(one.ticks, RejectReason.SPIKE)
        for one in confirmed:
            self._accept_top(one.ticks, Flag.SPIKE)
        if not confirmed and judge.tops.passes(prices):
            self._accept_top(held, 0)

    def _accept_top(self, held: Sequence[Held], flags: int) -> None:
        self._counters.accepted += len(held)
        self._books.apply_top(held[0][1].market, [tick for _, tick in held], flags)

    def _trade(self, offset: int, tick: Tick) -> None:
        judge = self.judge_of(tick.market)
        reason = judge.trade_fault(tick)
        if reason is not None:
            self._counters.reject(offset, tick, reason)
            return
        prices = (tick.price, None)
        if judge.trades.passes(prices):
            self._accept_trade(judge, offset, tick, 0)
            return
        disproved, confirmed = judge.trades.judge(Print(self._cursor.now_us, prices, [(offset, tick)]))
        for one in disproved:
            self._counters.reject_all(one.ticks, RejectReason.SPIKE)
        for one in confirmed:
            self._accept_trade(judge, *one.ticks[0], Flag.SPIKE)
        if not confirmed and judge.trades.passes(prices):
            self._accept_trade(judge, offset, tick, 0)

    def _accept_trade(self, judge: MarketJudge, offset: int, tick: Tick, flags: int) -> None:
        self._counters.accepted += 1
        flags |= tick.flags | judge.trade_marks(tick)
        cursor = self._cursor
        cursor.steps.append(TradeStep(tick, offset, flags))
        cursor.trades.put(tick, trade_key(tick), flags, offset, cursor.offset, cursor.ts_recv)

    # What is remembered

    def pending(self) -> Iterable[Held]:
        """Give the records held as spikes."""
        for judge in self._judges.values():
            yield from judge.pending()

    def judge_of(self, market: Market) -> MarketJudge:
        """Give what judges a market's trades and tops; makes it where there is none."""
        judge = self._judges.get(market)
        if judge is None:
            config = self._config
            number = self._memory.names.market(market)
            judge = MarketJudge(config.spike, config.max_age_us, config.skew_us, self._memory, number)
            self._judges[market] = judge
        return judge

    def state(self) -> State:
        """Give what is remembered."""
        memory, names = self._memory, self._memory.names.texts
        return {
            "books": self._books.state(),
            "judges": [[*market, judge.state()] for market, judge in self._judges.items()],
            "heard": {name: rest for name, (exists, *rest) in _by(names, memory.heard) if exists},
            "beats": {name: rest for name, (exists, *rest) in _by(names, memory.beats) if exists},
        }

    def restore(self, state: State) -> None:
        """Take back what `state` gave."""
        memory = self._memory
        for rows, saved in ((memory.heard, state["heard"]), (memory.beats, state["beats"])):
            for source, values in saved.items():
                number = memory.names.text(source)
                memory.fit_source(number)
                rows.rows[number] = (True, *values)
        self._books.restore(state["books"])
        self._judges = {}
        for venue, symbol, judge in state["judges"]:
            self.judge_of((venue, symbol)).restore(judge)


def _by(names: Sequence[str], rows: Growing) -> Iterable[tuple[str, tuple[int, ...]]]:
    return zip(names, rows.rows.tolist(), strict=False)
