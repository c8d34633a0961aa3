"""Reading a Citrex account, again and again: open orders, then positions, then our trades, told in one go. Pure.

One question is under way at a time, so that each is asked after the answer to the one before: whatever traded before
the positions were asked for is among the trades. A round that fails tells nothing, and the next one waits longer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum, unique

from schemas.enums import Flag
from schemas.numbers import NOTIONAL_SCALE, divide_half_even
from schemas.records import Market
from schemas.venues.citrex import account
from schemas.venues.citrex.market_data import TradePrint, parse_time, parse_trades
from schemas.venues.citrex.reading import all_rows
from schemas.venues.citrex.requests import LOOKBACK_LIMIT, Request, server_time
from schemas.venues.citrex.units import WIRE_SCALE
from sinks.executor.blotter import Fill
from sinks.executor.citrex.calls import Answer, TokenBucket, is_rate_limit, read
from sinks.executor.citrex.requests import AccountRequests
from sinks.executor.port import (
    Filled,
    Listed,
    Moment,
    OpenOrders,
    VenueEvent,
    VenueMoney,
    VenuePositions,
)

__all__ = ["AccountReader"]

_US = 1_000_000
_LOOKBACK = 100
_MONEY_US = 2 * _US
_WAIT_MAX_US = 5 * _US
_TOLD = 20_000
_OVERLAP_US = 5 * _US
_FEE_STEP = int(10 ** (WIRE_SCALE - NOTIONAL_SCALE))


@unique
class _Question(StrEnum):
    ORDERS = "open orders"
    POSITIONS = "positions"
    TRADES = "trades"
    BALANCES = "balances"
    HEALTH = "margin"
    CLOCK = "clock"


@dataclass(slots=True)
class _Round:
    """What a round has asked and heard so far."""

    asked_us: int
    in_flight: frozenset[int]
    left: list[tuple[_Question, Market | None]]
    orders: tuple[account.OrderState, ...] = ()
    positions: tuple[account.PositionState, ...] = ()
    balances: tuple[account.MarginBalance, ...] | None = None
    health: account.AccountHealth | None = None
    trades: dict[Market, tuple[TradePrint, ...]] = field(default_factory=dict)


class AccountReader:
    """Asks for what the venue holds of an account.

    Args:
        poll_us: From the start of a round to that of the next.
        per_s: Questions a second.
        max_skew_us: A venue's clock further from ours says nothing of when an order expires: nothing is told then.
    """

    def __init__(self, requests: AccountRequests, *, poll_us: int, per_s: int, max_skew_us: int) -> None:
        self._requests = requests
        self._poll_us = poll_us
        self._bucket = TokenBucket(per_s)
        self._max_skew_us = max_skew_us
        self._due_us = 0
        self._money_us = 0
        self._round: _Round | None = None
        self._asked_us: int | None = None
        self._failures = 0
        self._lookback: dict[Market, int] = {}
        self._read_us: dict[Market, int] = {}
        # Trades told, oldest first.
        self._told: dict[str, None] = {}
        self._skew_us: int | None = None
        self.counters: Counter[str] = Counter()
        self.trouble: str | None = "the venue has not been read yet"

    def look(self, now_us: int) -> None:
        """Begin a round at once, or after the one that is under way."""
        self._due_us = min(self._due_us, now_us)

    @property
    def skew_us(self) -> int | None:
        """How far the venue's clock is ahead of ours, as far as the answer's way lets that be known."""
        return self._skew_us

    def due(self, now_us: int, in_flight: frozenset[int]) -> Request | None:
        """Give the question to ask now.

        Args:
            in_flight: Orders of which something is under way.
        """
        is_due = self._round is not None or now_us >= self._due_us
        if self._asked_us is not None or not is_due or not self._bucket.take(now_us):
            return None
        if self._round is None:
            left: list[tuple[_Question, Market | None]] = [(_Question.ORDERS, None), (_Question.POSITIONS, None)]
            left += [(_Question.TRADES, market) for market in self._requests.product_ids]
            if now_us >= self._money_us:
                left += [(_Question.CLOCK, None), (_Question.BALANCES, None), (_Question.HEALTH, None)]
            self._round = _Round(now_us, in_flight, left)
            self._due_us = now_us + self._poll_us
        self._asked_us = now_us
        return self._question(*self._round.left[0])

    def answered(self, answer: Answer, now_us: int) -> list[VenueEvent]:
        """Take the answer; give what the round told, at its end."""
        asked_us, self._asked_us = self._asked_us, None
        round_ = self._round
        if round_ is None or asked_us is None:
            return []
        question, market = round_.left[0]
        if not self._take(round_, question, market, answer, asked_us, now_us):
            self._fail(question, now_us, is_limited=is_rate_limit(answer))
            return []
        if market is not None and self._wants_more(market, round_.trades[market], asked_us):
            return []
        round_.left.pop(0)
        if round_.left:
            # The rest of a round does not wait, the next round may.
            return []
        self._round = None
        return self._tell(round_, now_us)

    @property
    def is_in_round(self) -> bool:
        """Whether a round is under way, so that the next question is due as soon as the budget allows."""
        return self._round is not None

    @property
    def due_us(self) -> int:
        """When the next round begins."""
        return self._due_us

    def _question(self, question: _Question, market: Market | None) -> Request:
        match question:
            case _Question.ORDERS:
                return self._requests.open_orders()
            case _Question.POSITIONS:
                return self._requests.positions()
            case _Question.BALANCES:
                return self._requests.balances()
            case _Question.HEALTH:
                return self._requests.health()
            case _Question.CLOCK:
                return server_time()
            case _Question.TRADES:
                assert market is not None
                return self._requests.trades(market, self._lookback.get(market, LOOKBACK_LIMIT))

    def _take(
        self, round_: _Round, question: _Question, market: Market | None, answer: Answer, asked_us: int, now_us: int
    ) -> bool:
        """Take an answer into its round; tell whether it could be read."""
        match question:
            case _Question.ORDERS:
                return _set(round_, "orders", read(answer, account.parse_open_orders))
            case _Question.POSITIONS:
                return _set(round_, "positions", read(answer, account.parse_positions))
            case _Question.BALANCES:
                return _set(round_, "balances", read(answer, account.parse_balances))
            case _Question.HEALTH:
                return _set(round_, "health", read(answer, account.parse_account_health))
            case _Question.CLOCK:
                return self._take_clock(read(answer, parse_time), asked_us, now_us)
            case _Question.TRADES:
                assert market is not None
                trades = read(answer, _all_trades)
                if trades is None:
                    return False
                round_.trades[market] = trades
                return True

    def _take_clock(self, venue_us: int | None, asked_us: int, now_us: int) -> bool:
        if venue_us is None:
            return False
        # The venue read its clock between the question and the answer: what is surely not the network's is skew.
        ahead, behind = venue_us - now_us, asked_us - venue_us
        self._skew_us = ahead if ahead > 0 else -behind if behind > 0 else 0
        return True

    def _wants_more(self, market: Market, trades: tuple[TradePrint, ...], asked_us: int) -> bool:
        """Tell whether a page of trades may not reach back to the last one: then a longer one is asked for."""
        asked = self._lookback.get(market, LOOKBACK_LIMIT)
        read_us = self._read_us.get(market)
        is_joined = (
            read_us is None
            or len(trades) < asked
            or any(trade.uid in self._told or trade.ts_event < read_us - _OVERLAP_US for trade in trades)
        )
        if is_joined or asked >= LOOKBACK_LIMIT:
            self.counters["trade_gaps"] += not is_joined
            self._lookback[market] = _LOOKBACK
            self._read_us[market] = asked_us
            return False
        self._lookback[market] = LOOKBACK_LIMIT
        return True

    def _fail(self, question: _Question, now_us: int, *, is_limited: bool) -> None:
        self._round = None
        self._failures += 1
        self.counters["rounds_failed"] += 1
        wait_us = _US if is_limited else 0
        self._due_us = now_us + min(_WAIT_MAX_US, max(wait_us, self._poll_us << min(self._failures - 1, 8)))
        self.trouble = f"{question} cannot be read"

    def _tell(self, round_: _Round, now_us: int) -> list[VenueEvent]:
        self._failures = 0
        self.counters["rounds"] += 1
        if self._skew_us is not None and abs(self._skew_us) > self._max_skew_us:
            self.trouble = f"the venue's clock is {self._skew_us / 1e3:+.0f} ms from ours: correct this machine's"
            # Asked again in the next round.
            self._money_us = 0
            return []
        self.trouble = None
        events: list[VenueEvent] = [*self._fills(round_, now_us), self._open_orders(round_), self._positions(round_)]
        if round_.health is not None and round_.balances is not None:
            self._money_us = round_.asked_us + _MONEY_US
            events.append(self._money(round_, round_.balances, round_.health))
        return events

    def _fills(self, round_: _Round, now_us: int) -> Iterable[Filled]:
        who = self._requests.who
        for market, trades in round_.trades.items():
            # The venue gives the newest first.
            for trade in reversed(trades):
                parts = account.fills_of(who.account, who.sub_account_id, [trade])
                for fill in parts:
                    # An account that traded with itself has two parts in a trade.
                    name = fill.uid if len(parts) == 1 else f"{fill.uid}|{fill.order_id}"
                    if name not in self._told:
                        self._tell_once(name)
                        yield Filled(_fill(market, name, fill), Moment(fill.ts_event, now_us, None))

    def _tell_once(self, name: str) -> None:
        self._told[name] = None
        if len(self._told) > _TOLD:
            del self._told[next(iter(self._told))]

    def _open_orders(self, round_: _Round) -> OpenOrders:
        market_of = {number: market for market, number in self._requests.product_ids.items()}
        ours = [order for order in round_.orders if order.product_id in market_of]
        self.counters["orders_elsewhere"] = len(round_.orders) - len(ours)
        listed = tuple(Listed(order.nonce, order.order_id, market_of[order.product_id]) for order in ours)
        return OpenOrders(round_.asked_us, listed, round_.in_flight)

    def _positions(self, round_: _Round) -> VenuePositions:
        market_of = {number: market for market, number in self._requests.product_ids.items()}
        ours = [position for position in round_.positions if position.product_id in market_of]
        return VenuePositions(
            asked_us=round_.asked_us,
            quantities={market_of[position.product_id]: position.size for position in ours},
            accrued_funding={market_of[position.product_id]: position.accrued_funding for position in ours},
            entry_values={market_of[position.product_id]: position.entry_value for position in ours},
        )

    def _money(
        self, round_: _Round, balances: tuple[account.MarginBalance, ...], health: account.AccountHealth
    ) -> VenueMoney:
        asset = self._requests.network.margin_asset.lower()
        return VenueMoney(
            asked_us=round_.asked_us,
            asset="USDC",
            quantity=sum(balance.quantity for balance in balances if balance.asset == asset),
            equity=health.equity,
            margin_used=health.initial_margin_used,
            margin_available=health.initial_margin_available,
        )


def _set(round_: _Round, name: str, value: object) -> bool:
    if value is None:
        return False
    setattr(round_, name, value)
    return True


def _all_trades(body: bytes) -> tuple[TradePrint, ...]:
    return all_rows(parse_trades(body), "trade")


def _fill(market: Market, name: str, fill: account.Fill) -> Fill:
    fee, rest = divmod(fill.fee, _FEE_STEP)
    return Fill(
        trade_id=name,
        venue_order_id=fill.order_id,
        market=market,
        side=fill.side,
        price=fill.price,
        size=fill.size,
        fee=divide_half_even(fill.fee, _FEE_STEP) if rest else fee,
        ts_event=fill.ts_event,
        flags=int(Flag.DERIVED) if rest else 0,
    )
