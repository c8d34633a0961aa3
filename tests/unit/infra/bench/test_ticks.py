"""The benchmarks' ticks are ticks: what NumPy makes is what the codec would write."""

from __future__ import annotations

from infra.bench.ticks import DUPLICATE_EVERY, TickMaker
from schemas.codec import Codec
from schemas.enums import TickKind
from schemas.instruments import market_group, partition_for
from schemas.records import Tick


def test_every_row_is_the_canonical_encoding_of_a_trade(maker: TickMaker, codec: Codec) -> None:
    """Decoded by the codec and encoded again, the bytes are the same."""
    ticks = maker.ticks(400, 2_000)

    for row in range(len(ticks)):
        value = ticks.value(row)
        tick = codec.decode(value)
        assert isinstance(tick, Tick)
        assert codec.encode(tick) == value
        assert tick.kind is TickKind.TRADE
        assert tick.symbol == maker.symbols[ticks.market[row]]
        assert 0 < tick.ts_recv - (tick.ts_event or 0) <= 20_000


def test_rows_are_received_at_the_pace_asked_for(maker: TickMaker, codec: Codec) -> None:
    """Tick n is received n / rate after the start; a repeated one at the time of the one before."""
    ticks = maker.ticks(100_000, 400)

    assert ticks.ts_recv[0] == maker.start_us + 1_000_000 == maker.time_of(100_000)
    assert ticks.ts_recv[1] - ticks.ts_recv[0] == 10
    assert ticks.ts_recv[DUPLICATE_EVERY - 1] == ticks.ts_recv[DUPLICATE_EVERY - 2]


def test_one_tick_in_two_hundred_is_the_one_before_again(maker: TickMaker) -> None:
    """The kernel has duplicates to find."""
    ticks = maker.ticks(0, 2_000)
    values = [ticks.value(row) for row in range(len(ticks))]

    assert len(set(values)) == 2_000 - 2_000 // DUPLICATE_EVERY
    assert values[DUPLICATE_EVERY - 1] == values[DUPLICATE_EVERY - 2]


def test_the_same_numbers_give_the_same_ticks(maker: TickMaker, codec: Codec) -> None:
    """A log can be made twice."""
    other = TickMaker(codec, markets=1_000, start_us=maker.start_us, rate=100_000)

    assert maker.ticks(200, 400).values == other.ticks(200, 400).values


def test_ticks_beside_the_numbered_ones_go_through_the_codec(maker: TickMaker, codec: Codec) -> None:
    """A heartbeat promises by its watermark that no trade is older."""
    trade, beat = codec.decode(maker.trade(3, maker.start_us, 5)), codec.decode(maker.heartbeat(maker.start_us, 6))

    assert isinstance(trade, Tick)
    assert isinstance(beat, Tick)
    assert (trade.symbol, trade.trade_id) == ("M0003/USD", "000000000005")
    assert (beat.kind, beat.watermark) == (TickKind.HEARTBEAT, maker.start_us - 1_000_000)


def test_markets_go_to_the_partition_of_their_group(maker: TickMaker) -> None:
    """As the platform's own producers write them."""
    assert maker.partitions(4)[7] == partition_for(market_group("M0007/USD").encode(), 4)
    assert set(maker.partitions(16)) == set(range(16))
