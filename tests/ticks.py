"""Tick logs for tests: a source that numbers what it says, and a run over a log."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from processors.kernel.bars import BarBuilder, BarConfig
from processors.kernel.names import Names
from processors.kernel.normalise import NormaliseConfig, Normaliser
from processors.kernel.steprows import step_rows
from processors.kernel.steps import Input, State, Step
from schemas.columns.rows import Rows
from schemas.enums import Side, TickKind
from schemas.numbers import PRICE_SCALE, SIZE_SCALE, to_units
from schemas.reasons import RejectReason
from schemas.records import Bar, Book, Quote, Record, Tick, Trade

__all__ = ["T0", "Feed", "Run", "px", "qty", "second"]

T0 = 1_700_000_040_000_000
"""A whole minute, and of no larger timeframe."""


def px(text: str | int) -> int:
    """Give a price in schema units."""
    return to_units(str(text), PRICE_SCALE)


def qty(text: str | int) -> int:
    """Give a size in schema units."""
    return to_units(str(text), SIZE_SCALE)


def second(seconds: float) -> int:
    """Give the time so many seconds after T0."""
    return T0 + round(seconds * 1_000_000)


class Feed:
    """A source of one market: builds ticks whose event time is their receipt, unless told otherwise."""

    def __init__(
        self, symbol: str = "SEI/USDC", *, venue: str = "venue", source: str = "src", session: int = 1
    ) -> None:
        self.venue = venue
        self.source = source
        self.symbol = symbol
        self.session = session
        self.number = 0
        self.trades = 0

    def message(self, at: int, parts: Sequence[dict[str, Any]]) -> list[Tick]:
        """Build a message of several ticks, received at `at`."""
        base: dict[str, Any] = {
            "venue": self.venue,
            "source": self.source,
            "symbol": self.symbol,
            "side": Side.NONE,
            "price": 0,
            "size": 0,
            "ts_recv": at,
            "ts_event": at,
            "session": self.session,
            "message": self.number,
        }
        self.number += 1
        last = len(parts) - 1
        return [
            Tick(**{**base, "ordinal": i, "first": i == 0, "last": i == last, **part}) for i, part in enumerate(parts)
        ]

    def trade(self, at: int, price: int | str = 100, size: int | str = 1, side: Side = Side.BUY, **more: Any) -> Tick:
        """Build a trade; its id is its number unless given."""
        self.trades += 1
        fields = {"trade_id": str(self.trades), "sequence": self.trades, **more}
        part = {"kind": TickKind.TRADE, "side": side, "price": px(price), "size": qty(size), **fields}
        return self.message(at, [part])[0]

    def top(
        self, at: int, bid: str | int | None, ask: str | int | None, size: int | str = 1, **more: Any
    ) -> list[Tick]:
        """Build a best bid and ask; None is an empty side."""
        return self.message(
            at,
            [
                {
                    "kind": TickKind.TOP,
                    "side": side,
                    "price": 0 if price is None else px(price),
                    "size": 0 if price is None else qty(size),
                    **more,
                }
                for side, price in ((Side.BUY, bid), (Side.SELL, ask))
            ],
        )

    def levels(
        self,
        at: int,
        bids: Iterable[tuple[Any, Any]] = (),
        asks: Iterable[tuple[Any, Any]] = (),
        *,
        clear: bool = False,
    ) -> list[Tick]:
        """Build a book change, or with `clear` a snapshot."""
        parts: list[dict[str, Any]] = [{"kind": TickKind.CLEAR}] if clear else []
        for side, levels in ((Side.BUY, bids), (Side.SELL, asks)):
            parts += [
                {"kind": TickKind.LEVEL, "side": side, "price": px(price), "size": qty(size)} for price, size in levels
            ]
        return self.message(at, parts)

    def status(self, at: int, flags: int = 0) -> Tick:
        """Build a STATUS."""
        return self.message(at, [{"kind": TickKind.STATUS, "flags": int(flags)}])[0]

    def heartbeat(self, at: int, watermark: int | None = None) -> Tick:
        """Build a HEARTBEAT of the source."""
        part = {"kind": TickKind.HEARTBEAT, "symbol": "", "watermark": watermark}
        return self.message(at, [part])[0]


@dataclass
class Run:
    """A log run through the normaliser and the bars, and all that came out."""

    normalise: NormaliseConfig = field(default_factory=NormaliseConfig)
    bars_config: BarConfig = field(default_factory=BarConfig)

    def __post_init__(self) -> None:
        self.offset = 0
        self.records: list[Record] = []
        self.triggers: list[int] = []
        self.steps: list[Step] = []
        self.rejects: list[tuple[int, RejectReason]] = []
        self._build()

    def _build(self) -> None:
        self.names = Names()
        self.normaliser = Normaliser(
            self.normalise,
            "market.ticks",
            0,
            self.names,
            on_reject=lambda offset, _, reason: self.rejects.append((offset, reason)),
        )
        self.builder = BarBuilder(self.bars_config, "market.ticks", 0, self.names)

    def feed(self, *ticks: Tick | list[Tick] | None) -> Run:
        """Append ticks to the log and run them as one batch."""
        flat: list[Tick | None] = []
        for tick in ticks:
            flat += tick if isinstance(tick, list) else [tick]
        inputs = [Input(self.offset + i, tick) for i, tick in enumerate(flat)]
        self.offset += len(flat)
        self.run(inputs)
        return self

    def run(self, inputs: Sequence[Input]) -> None:
        """Run inputs as one batch, and check that every record is counted."""
        steps = self.normaliser.run(inputs)
        for rows in self.normaliser.take():
            self._emit_rows(rows)
        self.steps += [replace(step) for step in steps if not isinstance(step, np.ndarray)]
        self._emit_rows(self.builder.run(step_rows(steps, self.names)))
        counted = self.normaliser.accepted + sum(self.normaliser.rejected.values()) + self.normaliser.held
        assert counted == self.normaliser.received

    def _emit(self, record: Record, ts_trigger: int) -> None:
        self.records.append(record)
        self.triggers.append(ts_trigger)

    def _emit_rows(self, rows: Rows) -> None:
        for record, ts_trigger in zip(rows.records(), rows.values["ts_trigger"].tolist(), strict=True):
            self._emit(record, ts_trigger)

    def snapshot(self) -> State:
        """Give the state of both stages."""
        return {"names": self.names.state(), "normalise": self.normaliser.state(), "bars": self.builder.state()}

    def restart(self, state: State) -> None:
        """Go on with new stages that know only the state."""
        self._build()
        self.names.restore(state["names"])
        self.normaliser.restore(state["normalise"])
        self.builder.restore(state["bars"])

    def of(self, kind: type[Record]) -> list[Any]:
        """Give the records of one kind."""
        return [record for record in self.records if isinstance(record, kind)]

    def triggered(self, kind: type[Record]) -> list[tuple[Record, int]]:
        """Give the records of one kind with their triggers."""
        pairs = zip(self.records, self.triggers, strict=True)
        return [(record, ts_trigger) for record, ts_trigger in pairs if isinstance(record, kind)]

    @property
    def trades(self) -> list[Trade]:
        return self.of(Trade)

    @property
    def quotes(self) -> list[Quote]:
        return self.of(Quote)

    @property
    def books(self) -> list[Book]:
        return self.of(Book)

    @property
    def bars(self) -> list[Bar]:
        return self.of(Bar)

    @property
    def reasons(self) -> list[RejectReason]:
        """The reasons of all rejected records, in order."""
        return [reason for _, reason in self.rejects]
