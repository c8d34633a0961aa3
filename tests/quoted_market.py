"""The market that tests of the executor quote: its ticks and its decisions, written to Kafka."""

from __future__ import annotations

import time

from schemas.enums import Mode, Side, TickKind, Verdict
from schemas.instruments import partition_for
from schemas.records import QuoteLevel, Tick
from schemas.topics import DEFAULT_PARTITIONS
from sinks.executor.identity import GRID_US
from tests.decisions import decision_of
from tests.sink_records import SYMBOL, VENUE, Kafka, price, size

__all__ = ["PARTITION", "PARTITIONS", "START_US", "Market", "grid_now_us"]

PARTITIONS = DEFAULT_PARTITIONS  # the tests of a session share one `market.ticks`
PARTITION = partition_for(b"SEI", PARTITIONS)
START_US = 1_700_000_000_000_000


def grid_now_us() -> int:
    """The last grid point: on a broker that tests share, `market.ticks` is one log, and its time does not go back."""
    now_us = time.time_ns() // 1_000
    return now_us // GRID_US * GRID_US


class Market:
    """Writes ticks and decisions of the quoted market.

    Args:
        start_us: The moment that times are counted from; a grid point.
    """

    def __init__(self, kafka: Kafka, start_us: int = START_US, account: str = "demo") -> None:
        self._kafka = kafka
        self.start_us = start_us
        self._account = account
        self._message = 0

    def tick(self, at_ms: int, *parts: tuple[TickKind, Side, str, str]) -> None:
        self._message += 1
        for ordinal, (kind, side, at, of) in enumerate(parts):
            record = Tick(
                venue=VENUE,
                source="sim",
                symbol=SYMBOL,
                kind=kind,
                side=side,
                price=price(at),
                size=size(of),
                ts_recv=self.start_us + at_ms * 1_000,
                session=self.start_us,
                message=self._message,
                ordinal=ordinal,
                first=ordinal == 0,
                last=ordinal == len(parts) - 1,
            )
            self._kafka.write(record, partition=PARTITION)

    def book(self, at_ms: int) -> None:
        self.tick(
            at_ms,
            (TickKind.CLEAR, Side.NONE, "0", "0"),
            (TickKind.LEVEL, Side.BUY, "0.2500", "100"),
            (TickKind.LEVEL, Side.SELL, "0.2510", "100"),
        )

    def sell(self, at_ms: int, at: str, of: str) -> None:
        self.tick(at_ms, (TickKind.TRADE, Side.SELL, at, of))

    def decide(self, at_ms: int, *bids: tuple[str, str], mode: Mode = Mode.PAPER, mid: str = "0.2505") -> None:
        ts_grid = self.start_us + at_ms * 1_000
        decision = decision_of(
            decision_id=f"{mode}|{self._account}|{VENUE}|{SYMBOL}|{ts_grid}",
            mode=mode,
            account=self._account,
            venue=VENUE,
            symbol=SYMBOL,
            ts_grid=ts_grid,
            epoch=1,
            verdict=Verdict.QUOTE if bids else Verdict.EMPTY,
            bids=tuple(QuoteLevel(price=price(p), size=size(s)) for p, s in bids),
            asks=(),
            mid=price(mid),
            cause_partition=PARTITION,
            cause_first_offset=0,
            cause_offset=0,
        )
        self._kafka.write(decision, partition=PARTITION)
