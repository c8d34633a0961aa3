"""The simulated market: deterministic, never crossed, conserving, and with something in it to learn."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.simulator.book import Fill, OrderBook
from infra.simulator.chain import BASE_DENOM, POOL_CONTRACT, QUOTE_DENOM, Block
from infra.simulator.flow import BookChanged, Traded
from infra.simulator.market import STEP_US, Market, MarketEvent
from infra.simulator.pool import Pool
from schemas.enums import Side
from schemas.errors import ConfigurationError
from schemas.instruments import Instruments

START_US = 1_767_225_600_000_000
FIRST_ID = START_US // 1_000 + 1


@given(cuts=st.lists(st.integers(0, 3_000_000), max_size=30))
@settings(max_examples=20, deadline=None)
def test_what_happened_does_not_depend_on_how_time_was_cut(cuts: list[int]) -> None:
    """Asking in any portions, even backwards, gives the events that asking once gives."""
    whole = list(Market(3, start_us=START_US).advance(START_US + 3_000_000))
    market = Market(3, start_us=START_US)
    parts = [event for cut in [*cuts, 3_000_000] for event in market.advance(START_US + cut)]
    assert parts == whole


def test_another_seed_is_another_market() -> None:
    """Seeds differ in their events, the parts of one seed in their randomness."""
    first, second = (list(Market(seed, start_us=START_US).advance(START_US + 2_000_000)) for seed in (1, 2))
    assert first != second


def test_books_are_uncrossed_positive_and_on_the_grid(minute: tuple[MarketEvent, ...]) -> None:
    """Every snapshot has both sides, best first, no crossing, prices on the tick and sizes on the lot."""
    instruments = Instruments.load()
    for event in minute:
        if not isinstance(event, BookChanged):
            continue
        instrument = instruments.get("sim-sei-clob", instruments.canonical("sim-sei-clob", event.symbol))
        assert instrument is not None
        assert event.bids[0][0] < event.asks[0][0]
        for levels, sign in ((event.bids, -1), (event.asks, 1)):
            prices = [price * sign for price, _ in levels]
            assert prices == sorted(set(prices))
            assert all(p > 0 and p % instrument.tick == 0 and s > 0 and s % instrument.lot == 0 for p, s in levels)


def test_sequences_and_trade_ids_count_without_gaps(minute: tuple[MarketEvent, ...]) -> None:
    """Per market, sequence and trade id grow by one, and time never goes back."""
    sequences, ids, last_us = defaultdict(list), defaultdict(list), 0
    for event in minute:
        ts_us = event.time_ns // 1_000 if isinstance(event, Block) else event.ts_us
        assert ts_us // STEP_US >= last_us // STEP_US - 1
        last_us = ts_us
        if isinstance(event, BookChanged):
            sequences[event.symbol].append(event.sequence)
        elif isinstance(event, Traded):
            ids[event.symbol].append(event.trade_id)
    for numbers, first in [(each, 1) for each in sequences.values()] + [(each, FIRST_ID) for each in ids.values()]:
        assert numbers == list(range(first, len(numbers) + first))


def test_a_market_started_anew_numbers_trades_and_blocks_anew(minute: tuple[MarketEvent, ...]) -> None:
    """Else a log that saw the one before would take the new trades for redeliveries."""
    again = list(Market(7, start_us=START_US + 120_000_000).advance(START_US + 180_000_000))

    assert not _numbers(minute) & _numbers(again)


def _numbers(events: Iterable[MarketEvent]) -> set[tuple[str, int]]:
    trades = {(event.symbol, event.trade_id) for event in events if isinstance(event, Traded)}
    return trades | {("chain", event.height) for event in events if isinstance(event, Block)}


def test_the_flow_has_the_promised_rates(minute: tuple[MarketEvent, ...]) -> None:
    """At rate 1 a market has 5-20 book updates and 2-5 trades a second, the chain 2-3 blocks."""
    counts = Counter((type(event).__name__, getattr(event, "symbol", "")) for event in minute)
    for symbol in ("SEI/USDC", "wETH/USDC"):
        assert 5 <= counts["BookChanged", symbol] / 120 <= 20
        assert 2 <= counts["Traded", symbol] / 120 <= 6
    assert 2 <= counts["Block", ""] / 120 <= 3


def test_rate_multiplies_arrivals() -> None:
    """Ten times the rate gives about ten times the trades in the same time."""
    counts = [
        sum(isinstance(event, Traded) for event in Market(5, start_us=0, rate=rate).advance(10_000_000))
        for rate in (1.0, 10.0)
    ]
    assert 5 * counts[0] < counts[1] < 20 * counts[0]


@pytest.mark.parametrize("rate", [0.0, -1.0, 1e9, float("nan")])
def test_a_senseless_rate_is_refused(rate: float) -> None:
    """A rate that is not positive or too large is a configuration error."""
    with pytest.raises(ConfigurationError, match="rate"):
        Market(1, start_us=0, rate=rate)


def test_imbalance_and_trade_flow_predict_a_little_of_the_next_return() -> None:
    """The book's imbalance and the sign of recent trades correlate with the next second's move, weakly."""
    market = Market(11, start_us=0)
    samples: list[tuple[float, float]] = []
    book: BookChanged | None = None
    flow = 0.0
    for second in range(1, 601):
        for event in market.advance(second * 1_000_000):
            if isinstance(event, Block) or event.symbol != "SEI/USDC":
                continue
            if isinstance(event, BookChanged):
                book = event
            else:
                flow = 0.9 * flow + (1 if event.side is Side.BUY else -1)
        assert book is not None
        bids, asks = (sum(size for _, size in side[:5]) for side in (book.bids, book.asks))
        samples.append(((bids - asks) / (bids + asks) + 0.1 * flow, book.bids[0][0] + book.asks[0][0]))
    signals = [signal for signal, _ in samples[:-1]]
    moves = [after - before for (_, before), (_, after) in pairwise(samples)]
    assert 0.03 < _correlation(signals, moves) < 0.6


def _correlation(xs: list[float], ys: list[float]) -> float:
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    pairs = [(x - mean_x, y - mean_y) for x, y in zip(xs, ys, strict=True)]
    return sum(x * y for x, y in pairs) / (sum(x * x for x, _ in pairs) * sum(y * y for _, y in pairs)) ** 0.5


@given(
    orders=st.lists(
        st.tuples(st.sampled_from([Side.BUY, Side.SELL]), st.integers(90, 110), st.integers(1, 50), st.booleans()),
        max_size=200,
    )
)
def test_no_order_can_cross_the_book(
    orders: list[tuple[Side, int, int, bool]],
) -> None:
    """Whatever rests or takes, the best bid stays below the best ask and sizes are conserved."""
    book, rested, taken = OrderBook(), 0, 0
    for side, price, size, takes in orders:
        if takes:
            taken += sum(fill.size for fill in book.take(side, size, max_levels=3))
        else:
            book.rest(side, price, size)
            rested += size
        if book.bids.best is not None and book.asks.best is not None:
            assert book.bids.best < book.asks.best
    left = sum(size for side in (book.bids, book.asks) for _, size in side.levels(len(side)))
    assert left == rested - taken


def test_a_taker_eats_levels_from_the_best() -> None:
    """A market order fills level by level; what the book cannot give is cancelled."""
    book = OrderBook()
    for price, size in ((101, 5), (102, 5), (104, 5)):
        book.rest(Side.SELL, price, size)
    assert book.take(Side.BUY, 7, max_levels=3) == [Fill(101, 5), Fill(102, 2)]
    assert book.take(Side.BUY, 99, max_levels=1) == [Fill(102, 3)]
    assert book.asks.levels(9) == [(104, 5)]


@given(swaps=st.lists(st.tuples(st.booleans(), st.integers(1, 10**13)), max_size=60))
def test_the_pool_conserves_and_its_product_never_falls(swaps: list[tuple[bool, int]]) -> None:
    """What traders gave and got is what the reserves changed by, and x * y never falls."""
    pool = Pool(BASE_DENOM, QUOTE_DENOM, 3 * 10**12, 10**12)
    before = dict(pool.reserves)
    moved = Counter({BASE_DENOM: 0, QUOTE_DENOM: 0})
    product = before[BASE_DENOM] * before[QUOTE_DENOM]
    for sells_base, amount in swaps:
        swap = pool.swap(BASE_DENOM if sells_base else QUOTE_DENOM, amount)
        if swap is None:
            continue
        assert swap.return_amount > 0
        assert swap.commission_amount > 0
        assert swap.spread_amount >= 0
        moved[swap.offer_denom] += swap.offer_amount
        moved[swap.ask_denom] -= swap.return_amount
        assert pool.reserves[BASE_DENOM] * pool.reserves[QUOTE_DENOM] >= product
        product = pool.reserves[BASE_DENOM] * pool.reserves[QUOTE_DENOM]
    assert pool.reserves == {denom: before[denom] + moved[denom] for denom in before}


def test_arbitrage_keeps_the_pool_near_the_book(minute: tuple[MarketEvent, ...]) -> None:
    """After each block the pool's price is within its fee and a margin of what the books trade at."""
    market = Market(7, start_us=START_US)
    book: BookChanged | None = None
    for event in market.advance(START_US + 60_000_000):
        if isinstance(event, BookChanged) and event.symbol == "SEI/USDC":
            book = event
        elif isinstance(event, Block) and book is not None:
            mid = (book.bids[0][0] + book.asks[0][0]) / 2e9
            assert market.chain.pool.price == pytest.approx(mid, rel=0.008)


def test_blocks_chain_and_failures_have_no_message_events(blocks: list[Block]) -> None:
    """Heights and hashes chain; some transactions fail, in both ways, and none of those swaps."""
    codes = Counter(tx.code for block in blocks for tx in block.transactions)
    assert set(codes) == {0, 5, 32}
    for before, after in pairwise(blocks):
        assert (after.height, after.previous_hash) == (before.height + 1, before.hash)
        assert after.time_ns > before.time_ns
    for block in blocks:
        assert [tx.index for tx in block.transactions] == list(range(len(block.transactions)))
        for tx in block.transactions:
            kinds = {kind for kind, _ in tx.events}
            assert (tx.code == 0) == ("message" in kinds)
            assert ("failed" in tx.log or "mismatch" in tx.log) == (tx.code != 0)


def test_swap_events_name_the_pool_and_exact_amounts(blocks: list[Block]) -> None:
    """A swap's wasm event has the contract, the action, both denominations and whole amounts."""
    transactions = [tx for block in blocks for tx in block.transactions]
    swaps = [dict(pairs) for tx in transactions for kind, pairs in tx.events if kind == "wasm"]
    assert len(swaps) > 50
    for swap in swaps:
        assert (swap["_contract_address"], swap["action"]) == (POOL_CONTRACT, "swap")
        assert {swap["offer_asset"], swap["ask_asset"]} == {BASE_DENOM, QUOTE_DENOM}
        for name in ("offer_amount", "return_amount", "spread_amount", "commission_amount"):
            assert swap[name] == str(int(swap[name]))
    assert any(sum(kind == "wasm" for kind, _ in tx.events) == 2 for tx in transactions)
