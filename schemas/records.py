"""Frozen records, one class per Avro record, with the same field names and order.

Decimal fields are integers in schema units (`schemas.numbers`), `ts_*` fields are microseconds since the epoch, UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.enums import (
    BarState,
    BookState,
    ContractKind,
    ControlAction,
    ControlLevel,
    InstrumentSource,
    Mode,
    OrderAction,
    OrderStatus,
    Severity,
    Side,
    TickKind,
    Timeframe,
    TimeInForce,
    Verdict,
)

__all__ = [
    "Alert",
    "Balance",
    "Bar",
    "Book",
    "BookLevel",
    "Cause",
    "Command",
    "DeadLetter",
    "ExecutionReport",
    "FeatureVector",
    "Instrument",
    "Market",
    "Metric",
    "OrderIntent",
    "Position",
    "Prediction",
    "Quote",
    "QuoteDecision",
    "QuoteLevel",
    "Record",
    "Tick",
    "Trade",
]

Market = tuple[str, str]
"""(venue, symbol)."""


@dataclass(frozen=True, slots=True)
class Record:
    """Base of everything that travels in a topic."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Where a derived record came from: the range of input offsets that it rests on."""

    topic: str
    partition: int
    first_offset: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick(Record):
    """One thing a venue said, decoded and exact, not yet judged. A venue message of n parts is n ticks."""

    venue: str
    source: str
    symbol: str
    kind: TickKind
    side: Side
    price: int
    size: int
    base_amount: int | None = None
    quote_amount: int | None = None
    ts_event: int | None = None
    ts_recv: int
    watermark: int | None = None
    sequence: int | None = None
    session: int
    message: int
    ordinal: int
    first: bool
    last: bool
    trade_id: str | None = None
    tx_hash: str | None = None
    block_height: int | None = None
    tx_index: int | None = None
    event_index: int | None = None
    flags: int = 0

    @property
    def market(self) -> Market:
        """The (venue, symbol) pair."""
        return (self.venue, self.symbol)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade(Record):
    """A normalised print, one for one with an accepted TRADE tick."""

    venue: str
    source: str
    symbol: str
    trade_id: str
    side: Side
    price: int
    size: int
    base_amount: int | None = None
    quote_amount: int | None = None
    ts_event: int | None = None
    ts_recv: int
    sequence: int | None = None
    tx_hash: str | None = None
    block_height: int | None = None
    tx_index: int | None = None
    event_index: int | None = None
    flags: int = 0
    cause_topic: str
    cause_partition: int
    cause_first_offset: int
    cause_offset: int

    @property
    def market(self) -> Market:
        """The (venue, symbol) pair."""
        return (self.venue, self.symbol)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote(Record):
    """Best bid and ask of a market, on change."""

    venue: str
    symbol: str
    state: BookState
    bid_price: int | None = None
    bid_size: int | None = None
    ask_price: int | None = None
    ask_size: int | None = None
    ts_event: int | None = None
    ts_recv: int
    sequence: int | None = None
    flags: int = 0
    cause_topic: str
    cause_partition: int
    cause_first_offset: int
    cause_offset: int

    @property
    def market(self) -> Market:
        """The (venue, symbol) pair."""
        return (self.venue, self.symbol)


@dataclass(frozen=True, slots=True, kw_only=True)
class BookLevel(Record):
    """Total size at one price."""

    price: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Book(Record):
    """The top levels of a book, best first, conflated to the grid."""

    venue: str
    symbol: str
    state: BookState
    bids: tuple[BookLevel, ...]
    asks: tuple[BookLevel, ...]
    ts_grid: int
    ts_event: int | None = None
    ts_recv: int
    sequence: int | None = None
    flags: int = 0
    cause_topic: str
    cause_partition: int
    cause_first_offset: int
    cause_offset: int

    @property
    def market(self) -> Market:
        """The (venue, symbol) pair."""
        return (self.venue, self.symbol)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar(Record):
    """OHLC of a half-open interval of event time. Of one bar_id, the greatest revision wins."""

    venue: str
    symbol: str
    timeframe: Timeframe
    ts_open: int
    ts_close: int
    ts_emit: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    buy_volume: int
    sell_volume: int
    quote_volume: int
    vwap: int
    trade_count: int
    first_sequence: int | None = None
    last_sequence: int | None = None
    state: BarState
    revision: int
    is_complete: bool
    flags: int = 0
    cause_topic: str
    cause_partition: int
    cause_first_offset: int
    cause_offset: int

    @property
    def market(self) -> Market:
        """The (venue, symbol) pair."""
        return (self.venue, self.symbol)

    @property
    def bar_id(self) -> str:
        """What identifies the bar through its revisions."""
        return f"{self.venue}|{self.symbol}|{self.timeframe}|{self.ts_open}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureVector(Record):
    """The features of a market at a grid point."""

    venue: str
    symbol: str
    ts_grid: int
    fingerprint: str
    names: tuple[str, ...]
    values: tuple[float, ...]
    is_warm: bool
    flags: int = 0
    cause_topic: str
    cause_partition: int
    cause_first_offset: int
    cause_offset: int

    @property
    def market(self) -> Market:
        """The (venue, symbol) pair."""
        return (self.venue, self.symbol)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction(Record):
    """The model's view of a market at a grid point."""

    venue: str
    symbol: str
    ts_grid: int
    model_id: str
    model_hash: str
    fingerprint: str
    horizon_ms: int
    return_bps: float
    flags: int = 0
    cause_topic: str
    cause_partition: int
    cause_first_offset: int
    cause_offset: int

    @property
    def market(self) -> Market:
        """The (venue, symbol) pair."""
        return (self.venue, self.symbol)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument(Record):
    """One market's static facts.

    Attributes:
        venue_symbol: What the venue calls it.
        group: Partitioning group; markets of one group share a partition, by default the base asset.
        has_book: False for an AMM: no order book, never quoted.
        maker_fee_ppm, taker_fee_ppm: Millionths of a trade's value; a maker's is negative where it is a rebate.
        contract: What a trade gives: the asset itself, or a position that is funded and needs margin.
        initial_margin_ppm: Millionths of a position's value that must be covered to open it; 0 is all of it.
        base_decimals, quote_decimals: Digits after the point of amounts at the venue.
        ts_effective: From when it holds.
    """

    venue: str
    symbol: str
    venue_symbol: str
    group: str
    has_book: bool
    tick: int
    lot: int
    min_size: int
    min_notional: int
    maker_fee_ppm: int
    taker_fee_ppm: int
    contract: ContractKind = ContractKind.SPOT
    initial_margin_ppm: int = 0
    base_decimals: int | None = None
    quote_decimals: int | None = None
    source: InstrumentSource = InstrumentSource.FILE
    ts_effective: int = 0

    @property
    def market(self) -> Market:
        """The (venue, symbol) pair."""
        return (self.venue, self.symbol)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteLevel(Record):
    """One order wanted."""

    price: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteDecision(Record):
    """What orders a market should have from here on: a target, not a command."""

    decision_id: str
    mode: Mode
    account: str
    venue: str
    symbol: str
    ts_grid: int
    epoch: int
    verdict: Verdict
    reasons: tuple[str, ...]
    bids: tuple[QuoteLevel, ...]
    asks: tuple[QuoteLevel, ...]
    mid: int | None = None
    fair: int | None = None
    reservation: int | None = None
    half_spread: int | None = None
    position: int | None = None
    executions_offset: int | None = None
    sigma: float
    gamma: float
    kappa: float
    horizon_s: float
    signal_bps: float
    model_hash: str | None = None
    clamps: tuple[str, ...]
    config_hash: str
    sequence: int = 0
    instrument: Instrument | None = None
    breakers: tuple[str, ...] = ()
    inference_us: int | None = None
    orders_offset: int | None = None
    flags: int = 0
    cause_topic: str
    cause_partition: int
    cause_first_offset: int
    cause_offset: int

    @property
    def market(self) -> Market:
        """The (venue, symbol) pair."""
        return (self.venue, self.symbol)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderIntent(Record):
    """The executor's journal: what it is about to ask of the venue."""

    order_id: str
    decision_id: str
    action: OrderAction
    mode: Mode
    account: str
    venue: str
    symbol: str
    side: Side
    price: int
    size: int
    time_in_force: TimeInForce
    reduce_only: bool = False
    nonce: int | None = None
    ts_expire: int | None = None
    venue_order_id: str | None = None
    reason: str | None = None
    ts_due: int | None = None
    tick_offset: int | None = None
    ts_intent: int
    ts_cause: int
    flags: int = 0
    cause_topic: str
    cause_partition: int
    cause_first_offset: int
    cause_offset: int

    @property
    def market(self) -> Market:
        """The (venue, symbol) pair."""
        return (self.venue, self.symbol)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionReport(Record):
    """What became of an order, one change each."""

    execution_id: str
    order_id: str
    venue_order_id: str | None = None
    trade_id: str | None = None
    mode: Mode
    account: str
    venue: str
    symbol: str
    status: OrderStatus
    side: Side
    price: int
    size: int
    filled_size: int
    last_price: int | None = None
    last_size: int | None = None
    fee: int
    ts_event: int
    ts_recv: int
    reason: str | None = None
    flags: int = 0
    cause_topic: str
    cause_partition: int
    cause_first_offset: int
    cause_offset: int

    @property
    def market(self) -> Market:
        """The (venue, symbol) pair."""
        return (self.venue, self.symbol)


@dataclass(frozen=True, slots=True, kw_only=True)
class Position(Record):
    """A market's position, with the executions that it includes."""

    mode: Mode
    account: str
    venue: str
    symbol: str
    quantity: int
    cash: int
    fees: int
    average_price: int | None = None
    realised_pnl: int
    funding: int | None = None
    accrued_funding: int | None = None
    mark: int | None = None
    unrealised_pnl: int | None = None
    fill_count: int
    executions_partition: int
    executions_offset: int
    ts_update: int
    flags: int = 0

    @property
    def market(self) -> Market:
        """The (venue, symbol) pair."""
        return (self.venue, self.symbol)


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance(Record):
    """An account's money at a venue, and what its loss is measured from; amounts in 1e-18. None is not known."""

    mode: Mode
    account: str
    venue: str
    asset: str
    quantity: int
    equity: int | None = None
    margin_used: int | None = None
    margin_available: int | None = None
    deposits: int | None = None
    peak_equity: int | None = None
    day_equity: int | None = None
    ts_day: int | None = None
    breach: str | None = None
    ts_update: int
    flags: int = 0

    @property
    def drawdown(self) -> int | None:
        """How far equity is below its greatest, in 1e-18."""
        if self.equity is None or self.peak_equity is None:
            return None
        return max(0, self.peak_equity - self.equity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command(Record):
    """An order to the executor of an account, by a person or a breaker."""

    command_id: str
    mode: Mode
    account: str
    action: ControlAction
    level: ControlLevel | None = None
    issued_by: str
    reason: str
    ts_command: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter(Record):
    """Bytes that did not become a record, and why."""

    component: str
    reason: str
    detail: str
    source: str
    source_partition: int | None = None
    source_offset: int | None = None
    payload: bytes
    payload_size: int
    ts_seen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert(Record):
    """Something that a person should know."""

    component: str
    severity: Severity
    code: str
    message: str
    venue: str | None = None
    symbol: str | None = None
    ts_alert: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric(Record):
    """Counters and gauges of one component at one time."""

    component: str
    instance: str
    ts_metric: int
    counters: Mapping[str, int]
    gauges: Mapping[str, float]
