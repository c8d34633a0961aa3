"""The ticks of the benchmarks: trades of many markets at an even pace, made by the million.

They are made as rows of bytes of one width, so that NumPy makes them and not a codec: every number is kept in a range
where its varint or decimal has one length. They do what real feeds do wrong: event times overtake each other, and
one tick in 200 is the one before it again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.codec import Codec
from schemas.enums import Side, TickKind
from schemas.instruments import market_group, partition_for
from schemas.records import Tick

__all__ = ["DUPLICATE_EVERY", "SOURCE", "VENUE", "TickMaker", "Ticks"]

VENUE = "bench"
SOURCE = "bench"
DUPLICATE_EVERY = 200
_MICROS = 1_000_000
_LATENESS_US = 1_000_000
_MAX_AGE_US = 20_000
_FIRST_SEQUENCE = 1 << 28  # from here to 2**34 a zigzag varint takes five bytes
_TRADE_ID_DIGITS = 12
_PRICE = (99 * 10**9, 101 * 10**9)  # five bytes as a decimal, and no spike among them
_SIZE = (1 << 24, 1 << 30)  # four bytes

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Ticks:
    """Some consecutive ticks: their values as rows of one width, and where each goes.

    Attributes:
        market: Number of each tick's market.
        ts_recv: Time of receipt of each.
    """

    values: bytes
    width: int
    market: Ints
    ts_recv: Ints

    def __len__(self) -> int:
        return len(self.market)

    def value(self, row: int) -> bytes:
        """Give a row's Kafka value."""
        return self.values[row * self.width : (row + 1) * self.width]


@dataclass(slots=True)
class TickMaker:
    """Make ticks of a number of markets.

    Args:
        codec: Of ticks; gives the header, and encodes what is not made in bulk.
        start_us: Time of receipt of tick 0.
        rate: Ticks a second of the log's time.
        seed: Of prices, sizes, sides and the choice of markets.
    """

    codec: Codec
    markets: int
    start_us: int
    rate: int
    seed: int = 1
    symbols: list[str] = field(init=False)
    groups: list[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.symbols = [f"M{number:04d}/USD" for number in range(self.markets)]
        self.groups = [market_group(symbol).encode() for symbol in self.symbols]

    def partitions(self, count: int) -> list[int]:
        """Give the partition of each market."""
        return [partition_for(group, count) for group in self.groups]

    def time_of(self, index: int) -> int:
        """Give the time of receipt of a tick."""
        return self.start_us + index * _MICROS // self.rate

    def ticks(self, first: int, count: int) -> Ticks:
        """Make ticks by their numbers, multiples of `DUPLICATE_EVERY`; the same call gives the same ticks."""
        random = np.random.Generator(np.random.Philox(key=self.seed, counter=[0, 0, 0, first]))
        index = first + np.arange(count, dtype=np.int64)
        market = random.integers(0, self.markets, count)
        ts_recv = self.start_us + index * _MICROS // self.rate
        numbers: dict[str, Any] = {
            "side": random.integers(1, 3, count),
            "price": random.integers(*_PRICE, count),
            "size": random.integers(*_SIZE, count),
            "ts_event": ts_recv - random.integers(1_000, _MAX_AGE_US, count),
            "ts_recv": ts_recv,
            "sequence": _FIRST_SEQUENCE + index,
            "market": market,
        }
        again = slice(DUPLICATE_EVERY - 1, None, DUPLICATE_EVERY)
        before = slice(DUPLICATE_EVERY - 2, None, DUPLICATE_EVERY)
        for column in numbers.values():
            column[again] = column[before]
        rows = np.concatenate(self._fields(count, numbers), axis=1)
        return Ticks(rows.tobytes(), rows.shape[1], market, ts_recv)

    def trade(self, market: int, ts_recv: int, number: int) -> bytes:
        """Encode one trade beside the numbered ones; `number` is its own, below 2**28."""
        return self.codec.encode(
            Tick(
                kind=TickKind.TRADE,
                symbol=self.symbols[market],
                side=Side.BUY,
                price=_PRICE[0],
                size=_SIZE[0],
                ts_event=ts_recv,
                sequence=number,
                trade_id=f"{number:0{_TRADE_ID_DIGITS}d}",
                **self._common(ts_recv, number),
            )
        )

    def heartbeat(self, ts_recv: int, number: int) -> bytes:
        """Encode the source's heartbeat, with its watermark."""
        return self.codec.encode(
            Tick(
                kind=TickKind.HEARTBEAT,
                symbol="",
                side=Side.NONE,
                price=0,
                size=0,
                watermark=ts_recv - _LATENESS_US,
                **self._common(ts_recv, number),
            )
        )

    def _common(self, ts_recv: int, message: int) -> dict[str, Any]:
        return {
            "venue": VENUE,
            "source": SOURCE,
            "ts_recv": ts_recv,
            "session": self.start_us,
            "message": message,
            "ordinal": 0,
            "first": True,
            "last": True,
        }

    def _fields(self, count: int, numbers: dict[str, Any]) -> list[Bytes]:
        """Encode the fields in the order of the schema; a nullable one begins with the branch of its union."""
        symbols = np.array([_text(symbol) for symbol in self.symbols], dtype=f"S{len(_text(self.symbols[0]))}")
        made: dict[str, Bytes] = {
            "venue": _constant(_text(VENUE), count),
            "source": _constant(_text(SOURCE), count),
            "symbol": symbols[numbers["market"]].view(np.uint8).reshape(count, -1),
            "kind": _constant(_zigzag(tuple(TickKind).index(TickKind.TRADE)), count),
            "side": (numbers["side"] << 1).astype(np.uint8).reshape(count, 1),
            "price": _decimals(numbers["price"]),
            "size": _decimals(numbers["size"]),
            "ts_event": _varints(numbers["ts_event"]),
            "ts_recv": _varints(numbers["ts_recv"]),
            "sequence": _varints(numbers["sequence"]),
            "session": _constant(_zigzag(self.start_us), count),
            "message": _varints(numbers["sequence"]),
            "ordinal": _constant(_zigzag(0), count),
            "first": _constant(b"\x01", count),
            "last": _constant(b"\x01", count),
            "trade_id": _digits(numbers["sequence"]),
            "flags": _constant(_zigzag(0), count),
        }
        header = b"\x00" + self.codec.schema_id.to_bytes(4, "big")
        fields = [_constant(header, count)]
        for one in self.codec.schema["fields"]:
            value = made.get(one["name"])
            if isinstance(one["type"], list):
                fields.append(_constant(_zigzag(0 if value is None else 1), count))
            if value is not None:
                fields.append(value)
        return fields


def _text(text: str) -> bytes:
    raw = text.encode()
    return _zigzag(len(raw)) + raw


def _zigzag(number: int) -> bytes:
    left, out = number << 1, bytearray()
    while left > 0x7F:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    out.append(left)
    return bytes(out)


def _constant(raw: bytes, count: int) -> Bytes:
    return np.broadcast_to(np.frombuffer(raw, np.uint8), (count, len(raw)))


def _varints(numbers: Ints) -> Bytes:
    """Encode positive numbers that all take the same number of bytes."""
    left = numbers.astype(np.uint64) << np.uint64(1)
    width = len(_zigzag(int(numbers[0])))
    assert width == len(_zigzag(int(numbers.min()))) == len(_zigzag(int(numbers.max())))
    out = np.empty((len(numbers), width), np.uint8)
    for place in range(width):
        more = 0x80 if place < width - 1 else 0
        out[:, place] = (left >> np.uint64(7 * place)).astype(np.uint8) & 0x7F | more
    return out


def _decimals(numbers: Ints) -> Bytes:
    """Encode positive numbers that all take the same number of bytes, with their length before them."""
    width = int(numbers[0]).bit_length() // 8 + 1
    raw = numbers.astype(">i8").view(np.uint8).reshape(len(numbers), 8)[:, 8 - width :]
    return np.concatenate([_constant(_zigzag(width), len(numbers)), raw], axis=1)


def _digits(numbers: Ints) -> Bytes:
    places = 10 ** np.arange(_TRADE_ID_DIGITS - 1, -1, -1, dtype=np.int64)
    digits = (numbers[:, None] // places % 10 + ord("0")).astype(np.uint8)
    return np.concatenate([_constant(_zigzag(_TRADE_ID_DIGITS), len(numbers)), digits], axis=1)
