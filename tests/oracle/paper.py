"""What paper orders may have been filled with at most, counted from the ticks alone.

A second opinion that shares nothing with the paper venue: it is told the ticks and the executions, keeps the displayed
sizes in a dictionary, and allows an order what traded at its price or through it since it was in the book, less what
was displayed at its price when it came. Run over any recording, with orders that join the best prices:

    python -m tests.oracle.paper CAPTURE --venue binance [--symbol BTC/USDT]
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from schemas.enums import OrderStatus, Side, TickKind
from schemas.records import ExecutionReport, Market, Tick

__all__ = ["Counted", "count"]

_ENDS = {OrderStatus.CANCELLED, OrderStatus.EXPIRED, OrderStatus.REJECTED}


@dataclass
class Counted:
    """What was found.

    Attributes:
        wrong: In words; empty is good.
        used: Size of ours that was filled, and `traded` all that traded in the markets of our orders.
    """

    orders: int = 0
    fills: int = 0
    prints: int = 0
    used: int = 0
    traded: int = 0
    wrong: list[str] = field(default_factory=list)


@dataclass
class _Order:
    report: ExecutionReport
    queue: int
    traded: int = 0
    filled: int = 0


class _Count:
    def __init__(self, executions: Iterable[ExecutionReport]) -> None:
        self.found = Counted()
        self._at: defaultdict[int, list[ExecutionReport]] = defaultdict(list)
        for report in executions:
            self._at[report.cause_offset].append(report)
        self._sizes: defaultdict[tuple[Market, Side], dict[int, int]] = defaultdict(dict)
        self._orders: dict[str, _Order] = {}
        self._trades: set[tuple[Market, str]] = set()

    def take(self, offset: int, tick: Tick) -> None:
        reports = self._at.pop(offset, [])
        for report in reports:
            # An order comes, and goes, before the tick is looked at.
            if report.status is OrderStatus.OPEN:
                queue = self._sizes[report.market, report.side].get(report.price, 0)
                self._orders[report.order_id] = _Order(report, queue)
                self.found.orders += 1
            elif report.status in _ENDS:
                self._orders.pop(report.order_id, None)
        if tick.kind is TickKind.TRADE:
            self._print(offset, tick, [report for report in reports if report.last_size])
        elif any(report.last_size for report in reports):
            self._say(offset, "filled by what is no trade")
        self._display(tick)

    def finish(self) -> Counted:
        for offset in self._at:
            self._say(offset, "an execution of a tick that is not there")
        return self.found

    def _print(self, offset: int, tick: Tick, fills: Sequence[ExecutionReport]) -> None:
        is_told_again = tick.trade_id is not None and (tick.market, tick.trade_id) in self._trades
        if tick.trade_id is not None:
            self._trades.add((tick.market, tick.trade_id))
        size = 0 if is_told_again else tick.size
        self.found.prints += 1
        self.found.traded += size
        for order in self._orders.values():
            report = order.report
            if report.market != tick.market or report.side is tick.side:
                continue
            is_reached = tick.price <= report.price if report.side is Side.BUY else tick.price >= report.price
            if is_reached:
                order.traded += size
        used = 0
        for fill in fills:
            used += fill.last_size or 0
            self._fill(offset, fill)
        if used > size:
            self._say(offset, f"{used} filled by a print of {size}")

    def _fill(self, offset: int, fill: ExecutionReport) -> None:
        self.found.fills += 1
        self.found.used += fill.last_size or 0
        order = self._orders.get(fill.order_id)
        if order is None:
            self._say(offset, f"{fill.order_id} filled, and was not in the book")
            return
        order.filled += fill.last_size or 0
        allowed = min(order.report.size, max(0, order.traded - order.queue))
        if order.filled > allowed:
            self._say(offset, f"{fill.order_id} filled {order.filled}, allowed {allowed}: queue {order.queue}")
        if fill.last_price != order.report.price:
            self._say(offset, f"{fill.order_id} filled at {fill.last_price}, not at {order.report.price}")
        if order.filled == order.report.size:
            del self._orders[fill.order_id]

    def _display(self, tick: Tick) -> None:
        if tick.kind is TickKind.CLEAR:
            self._sizes[tick.market, Side.BUY], self._sizes[tick.market, Side.SELL] = {}, {}
        elif tick.kind is TickKind.LEVEL:
            self._sizes[tick.market, tick.side][tick.price] = tick.size

    def _say(self, offset: int, what: str) -> None:
        self.found.wrong.append(f"tick {offset}: {what}")


def count(ticks: Iterable[tuple[int, Tick]], executions: Iterable[ExecutionReport]) -> Counted:
    """Compare executions of orders that rest with the ticks that they are said to come from."""
    counting = _Count(executions)
    for offset, tick in ticks:
        counting.take(offset, tick)
    return counting.finish()


def main(capture: Path, venue: str, symbol: str | None) -> int:
    """Count on a recording, and say what was found."""
    from tests.paper_capture import traded_on

    run = traded_on(capture, venue, symbol)
    found = count(run.ticks, run.executions)
    statuses = Counter(report.status for report in run.executions)
    print(
        f"{len(run.ticks)} ticks, {found.prints} prints, {found.orders} orders, {found.fills} fills; {dict(statuses)}"
    )
    print(f"{found.used} filled, {found.traded} traded; {len(found.wrong)} wrong", *found.wrong[:20], sep="\n")
    return 1 if found.wrong else 0


if __name__ == "__main__":
    import argparse

    parser = argparse.ArgumentParser(description="Count what paper orders on a recording may be filled with.")
    parser.add_argument("capture", type=Path)
    parser.add_argument("--venue", required=True)
    parser.add_argument("--symbol")
    options = parser.parse_args()
    sys.exit(main(options.capture, options.venue, options.symbol))
