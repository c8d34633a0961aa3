"""From records to Redis commands. Pure: the same records give the same commands; see docs/redis.md for the keys.

Every write can be made twice: values are replaced only by a later version, sorted sets hold a record's text once, a bar
is replaced only by a greater revision. Published messages may repeat, and carry the ids to notice it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.records import Alert, Balance, Bar, Book, Position, Quote, QuoteDecision, Record, Trade
from sinks.decoding import Delivery
from sinks.plain import plain, to_json

__all__ = ["BARS_KEPT", "Command", "Plan"]

BARS_KEPT = 1_500
"""Bars kept of each timeframe: a day of minutes and an hour."""

_ALERTS_KEPT = 1_000
_DAY_S = 86_400
_MONTH_S = 30 * _DAY_S
_FOR_EVER = 0

# Sets the key unless it holds a later version: two numbers, compared in order.
_SET_LATEST = """
local old = redis.call('GET', KEYS[1])
if old then
  local ok, held = pcall(cjson.decode, old)
  if ok and type(held) == 'table' then
    local a, b = tonumber(held[ARGV[1]]), tonumber(held[ARGV[2]])
    local x, y = tonumber(ARGV[3]), tonumber(ARGV[4])
    if a and b and (a > x or (a == x and b > y)) then return 0 end
  end
end
redis.call('SET', KEYS[1], ARGV[5])
if ARGV[6] ~= '0' then redis.call('EXPIRE', KEYS[1], ARGV[6]) end
return 1
"""

# Puts a bar in the place of its earlier revisions.
_SET_BAR = """
for _, held in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[1], ARGV[1])) do
  if cjson.decode(held).revision >= tonumber(ARGV[2]) then return 0 end
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], ARGV[1], ARGV[1])
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[3])
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - ARGV[4])
redis.call('EXPIRE', KEYS[1], ARGV[5])
return 1
"""

Argument = str | int


@dataclass(frozen=True, slots=True)
class Command:
    """One Redis command and the deliveries that it writes."""

    arguments: tuple[Argument, ...]
    deliveries: tuple[Delivery, ...]

    @property
    def is_publish(self) -> bool:
        """Whether it only tells subscribers."""
        return self.arguments[0] == "PUBLISH"


@dataclass(frozen=True, slots=True)
class _Version:
    """A value for a key, with the fields of its document that order it among others."""

    fields: tuple[str, str]
    at: tuple[int, int]
    text: str
    ttl_s: int
    delivery: Delivery


class Plan:
    """Gather records, coalescing what would be overwritten within the same flush.

    Args:
        primary_venue: Venue whose markets are also written under their symbol alone.
        hot_ticks: Members kept of each sorted set of ticks.
    """

    def __init__(self, primary_venue: str, hot_ticks: int) -> None:
        self._primary_venue = primary_venue
        self._hot_ticks = hot_ticks
        self._latest: dict[str, _Version] = {}
        self._bars: dict[tuple[str, int], tuple[Bar, str, Delivery]] = {}
        self._hot: dict[tuple[str, int], dict[str, tuple[int, Delivery]]] = {}
        self._published: list[Command] = []

    def add(self, record: Record, delivery: Delivery) -> None:
        """Take a record; kinds that Redis does not hold are passed over."""
        match record:
            case Trade():
                self._add_trade(record, delivery)
            case Quote():
                self._add_quote(record, delivery)
            case Book():
                self._add_book(record, delivery)
            case Bar():
                self._add_bar(record, delivery)
            case QuoteDecision():
                self._add_decision(record, delivery)
            case Position():
                self._add_position(record, delivery)
            case Balance():
                self._add_balance(record, delivery)
            case Alert():
                text = to_json(plain(record))
                self._keep_hot("flashmm:alerts", _ALERTS_KEPT, record.ts_alert, text, delivery)
                self._publish("flashmm:pub:alerts", text, delivery)

    def commands(self) -> list[Command]:
        """Give the commands of everything added: values first, then what tells of them."""
        commands = [_latest_command(key, version) for key, version in self._latest.items()]
        commands += [_bar_command(key, *held) for (key, _), held in self._bars.items()]
        for (key, kept), members in self._hot.items():
            commands += _hot_commands(key, kept, members)
        return commands + self._published

    def _markets(self, record: Trade | Quote | Book | Bar) -> Sequence[str]:
        full = f"{record.venue}:{record.symbol}"
        return (full, record.symbol) if record.venue == self._primary_venue else (full,)

    def _add_trade(self, trade: Trade, delivery: Delivery) -> None:
        text = to_json(plain(trade))
        version = _Version(("ts_recv", "cause_offset"), (trade.ts_recv, trade.cause_offset), text, _DAY_S, delivery)
        for market in self._markets(trade):
            self._set_latest(f"flashmm:trade:{market}", version)
            self._keep_hot(f"flashmm:ticks:{market}", self._hot_ticks, trade.ts_recv, text, delivery)
        self._publish(f"flashmm:pub:trades:{trade.venue}:{trade.symbol}", text, delivery)

    def _add_quote(self, quote: Quote, delivery: Delivery) -> None:
        text = to_json(plain(quote))
        version = _Version(("ts_recv", "cause_offset"), (quote.ts_recv, quote.cause_offset), text, _DAY_S, delivery)
        for market in self._markets(quote):
            self._set_latest(f"flashmm:quote:{market}", version)
            self._keep_hot(f"flashmm:quotes:{market}", self._hot_ticks, quote.ts_recv, text, delivery)
        self._publish(f"flashmm:pub:quotes:{quote.venue}:{quote.symbol}", text, delivery)

    def _add_book(self, book: Book, delivery: Delivery) -> None:
        text = to_json(plain(book))
        version = _Version(("ts_grid", "cause_offset"), (book.ts_grid, book.cause_offset), text, _DAY_S, delivery)
        for market in self._markets(book):
            self._set_latest(f"flashmm:book:{market}", version)
        self._publish(f"flashmm:pub:books:{book.venue}:{book.symbol}", text, delivery)

    def _add_bar(self, bar: Bar, delivery: Delivery) -> None:
        text = to_json(plain(bar))
        version = _Version(("ts_open", "revision"), (bar.ts_open, bar.revision), text, _MONTH_S, delivery)
        for market in self._markets(bar):
            self._set_latest(f"flashmm:bar:{market}:{bar.timeframe}", version)
            key = (f"flashmm:bars:{market}:{bar.timeframe}", bar.ts_open)
            held = self._bars.get(key)
            if held is None or held[0].revision < bar.revision:
                self._bars[key] = (bar, text, delivery)
        self._publish(f"flashmm:pub:bars:{bar.venue}:{bar.symbol}:{bar.timeframe}", text, delivery)

    def _add_decision(self, decision: QuoteDecision, delivery: Delivery) -> None:
        text = to_json(plain(decision))
        owner = f"{decision.mode}:{decision.account}:{decision.venue}:{decision.symbol}"
        at = (decision.ts_grid, decision.sequence)
        self._set_latest(f"flashmm:decision:{owner}", _Version(("ts_grid", "sequence"), at, text, _DAY_S, delivery))
        self._publish(f"flashmm:pub:decisions:{owner}", text, delivery)

    def _add_position(self, position: Position, delivery: Delivery) -> None:
        text = to_json(plain(position))
        owner = f"{position.mode}:{position.account}:{position.venue}:{position.symbol}"
        at = (position.ts_update, position.executions_offset)
        version = _Version(("ts_update", "executions_offset"), at, text, _FOR_EVER, delivery)
        self._set_latest(f"flashmm:position:{owner}", version)
        self._publish(f"flashmm:pub:positions:{owner}", text, delivery)

    def _add_balance(self, balance: Balance, delivery: Delivery) -> None:
        text = to_json(plain(balance))
        owner = f"{balance.mode}:{balance.account}:{balance.venue}:{balance.asset}"
        at = (balance.ts_update, balance.flags)
        self._set_latest(f"flashmm:balance:{owner}", _Version(("ts_update", "flags"), at, text, _FOR_EVER, delivery))
        self._publish(f"flashmm:pub:balances:{owner}", text, delivery)

    def _set_latest(self, key: str, version: _Version) -> None:
        held = self._latest.get(key)
        if held is None or held.at <= version.at:
            self._latest[key] = version

    def _keep_hot(self, key: str, kept: int, score: int, text: str, delivery: Delivery) -> None:
        self._hot.setdefault((key, kept), {})[text] = (score, delivery)

    def _publish(self, channel: str, text: str, delivery: Delivery) -> None:
        self._published.append(Command(("PUBLISH", channel, text), (delivery,)))


def _latest_command(key: str, version: _Version) -> Command:
    arguments = ("EVAL", _SET_LATEST, 1, key, *version.fields, *version.at, version.text, version.ttl_s)
    return Command(arguments, (version.delivery,))


def _bar_command(key: str, bar: Bar, text: str, delivery: Delivery) -> Command:
    return Command(("EVAL", _SET_BAR, 1, key, bar.ts_open, bar.revision, text, BARS_KEPT, _MONTH_S), (delivery,))


def _hot_commands(key: str, kept: int, members: dict[str, tuple[int, Delivery]]) -> list[Command]:
    newest = sorted(members.items(), key=lambda item: (item[1][0], item[0]))[-kept:]
    deliveries = tuple(delivery for _, (_, delivery) in newest)
    arguments: list[Argument] = ["ZADD", key]
    for text, (score, _) in newest:
        arguments += [score, text]
    return [
        Command(tuple(arguments), deliveries),
        Command(("ZREMRANGEBYRANK", key, 0, -1 - kept), ()),
        Command(("EXPIRE", key, _DAY_S), ()),
    ]
