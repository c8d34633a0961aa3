"""The simulated node and the producers' own sources, joined without sockets: every frame is understood."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from infra.simulator.chain import BASE_DENOM, Block
from infra.simulator.clob import ClobFeed
from infra.simulator.faults import Fault, FaultKind
from infra.simulator.flow import BookChanged, Traded
from infra.simulator.market import Market, MarketEvent
from infra.simulator.tendermint import TendermintNode
from producers.core import Effects, Source
from producers.sei.chain import SeiChainSource
from producers.sei.clob import SeiClobSource
from producers.sei.mapping import EventMapping
from schemas.enums import Flag, Side, TickKind
from schemas.instruments import Instruments
from schemas.records import Tick

START_US = 1_767_225_600_000_000


class Wire:
    """Carries frames between a node and a source, and gathers what the source makes of them."""

    def __init__(self, node: TendermintNode | ClobFeed, source: Source) -> None:
        self.node = node
        self.source = source
        self.ticks: list[Tick] = []
        self.bad: list[str] = []
        node.hub.connect(1)
        self.take(source.open(START_US), START_US)

    def take(self, effects: Effects, now_us: int) -> None:
        """Carry out what the source wants."""
        self.ticks += effects.ticks
        self.bad += [frame.detail for frame in effects.bad]
        assert effects.reconnect is None
        for text in effects.send:
            assert self.node.receive(1, text)
        for fetch in effects.fetch:
            method, _, query = fetch.path.lstrip("/").partition("?")
            assert isinstance(self.node, TendermintNode)
            body = self.node.get(method, dict([query.split("=")]))
            assert body is not None
            self.take(self.source.fetched(fetch.tag, body.encode(), now_us), now_us)
        self.pump(now_us)

    def pump(self, now_us: int) -> None:
        """Deliver what the node has ready."""
        while (frame := self.node.hub.next_frame(1, now_us)) is not None:
            self.take(self.source.receive(frame, now_us), now_us)

    def trades(self) -> list[Tick]:
        """Give the prints so far."""
        return [tick for tick in self.ticks if tick.kind is TickKind.TRADE]


def _play(wire: Wire, events: list[MarketEvent], publish: Callable[[MarketEvent, int], None]) -> None:
    for event in events:
        now_us = event.time_ns // 1_000 if isinstance(event, Block) else event.ts_us
        publish(event, now_us)
        wire.pump(now_us)
        wire.take(wire.source.tick(now_us), now_us)


def _chain(minute: tuple[MarketEvent, ...], gap_at: int | None = None) -> tuple[Wire, list[Block]]:
    node = TendermintNode("chain-1")
    wire = Wire(node, SeiChainSource(venue="sim-sei", mapping=EventMapping.load(), chain_id="chain-1"))
    blocks = [event for event in minute if isinstance(event, Block)]

    def publish(event: MarketEvent, now_us: int) -> None:
        assert isinstance(event, Block)
        if gap_at is not None and event is blocks[gap_at]:
            node.apply(Fault(FaultKind.GAP, count=3), now_us)
        node.publish(event, now_us)

    _play(wire, list(blocks), publish)
    return wire, blocks


def _swaps(blocks: list[Block]) -> list[tuple[object, ...]]:
    """Give (height, hash, taker's side, exact base and quote amounts) of every swap."""
    swaps: list[tuple[object, ...]] = []
    for block in blocks:
        for tx in block.transactions:
            for swap in (dict(pairs) for kind, pairs in tx.events if kind == "wasm"):
                sells = swap["offer_asset"] == BASE_DENOM
                base, quote = (swap["offer_amount"], swap["return_amount"])[:: 1 if sells else -1]
                side = Side.SELL if sells else Side.BUY
                swaps.append((block.height, tx.hash, side, int(base) * 10**12, int(quote) * 10**12))
    return swaps


def _trades(wire: Wire) -> list[tuple[object, ...]]:
    return [(t.block_height, t.tx_hash, t.side, t.base_amount, t.quote_amount) for t in wire.trades()]


def test_every_swap_becomes_an_exact_trade_and_no_failure_does(minute: tuple[MarketEvent, ...]) -> None:
    """Trades of the chain are the successful swaps, in order, with exact amounts and the taker's side."""
    wire, blocks = _chain(minute)
    assert wire.bad == []
    assert _trades(wire) == _swaps(blocks)
    assert {tick.symbol for tick in wire.trades()} == {"SEI/USDC"}


def test_lost_transactions_are_fetched_and_each_comes_once(minute: tuple[MarketEvent, ...]) -> None:
    """Heights whose Tx frames are lost are filled from `block` and `block_results`, without doubles."""
    wire, blocks = _chain(minute, gap_at=20)
    assert wire.bad == []
    assert sorted(map(str, _trades(wire))) == sorted(map(str, _swaps(blocks)))


def test_books_and_trades_of_the_feed_arrive_whole(minute: tuple[MarketEvent, ...]) -> None:
    """Prints equal the market's own, each book is one message of all its levels, and nothing is malformed."""
    market = Market(7, start_us=START_US)
    feed = ClobFeed(market.symbols)
    instruments = Instruments.load()
    symbols = {symbol: instruments.canonical("sim-sei-clob", symbol) for symbol in market.symbols}
    source = SeiClobSource(venue="sim-sei-clob", symbols=tuple(symbols.values()), instruments=instruments)
    wire = Wire(feed, source)
    events = [event for event in minute if not isinstance(event, Block)][:1_500]

    def publish(event: MarketEvent, now_us: int) -> None:
        assert not isinstance(event, Block)
        feed.publish(event, now_us)

    _play(wire, list(events), publish)
    assert wire.bad == []
    prints = [event for event in events if isinstance(event, Traded)]
    got = [(t.symbol, t.ts_event, t.trade_id, t.price, t.size, t.side) for t in wire.trades()]
    assert got == [(symbols[p.symbol], p.ts_us, str(p.trade_id), p.price, p.size, p.side) for p in prints]
    clears = sum(tick.kind is TickKind.CLEAR for tick in wire.ticks)
    assert clears == sum(isinstance(event, BookChanged) for event in events)
    for symbol in symbols.values():
        sequences = [t.sequence for t in wire.ticks if t.kind is TickKind.CLEAR and t.symbol == symbol]
        assert all(after == before + 1 for before, after in pairwise(n for n in sequences if n is not None))
    gaps = [tick for tick in wire.ticks if tick.kind is TickKind.STATUS and tick.flags & Flag.GAPPED]
    assert len(gaps) == len(symbols)  # only that of the start
