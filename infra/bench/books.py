"""The books of quoted markets beside the benchmark's trades: whole books, whose mids walk, so that quotes follow."""

from __future__ import annotations

import random
from collections.abc import Iterator

from infra.bench.ticks import SOURCE
from schemas.codec import Codec
from schemas.enums import Side, TickKind
from schemas.instruments import Instrument
from schemas.records import Tick

__all__ = ["BOOKS_PER_S", "BookMaker"]

BOOKS_PER_S = 10
_LEVELS = 10
_MID_TICKS = 4_000
_NONE = {"side": Side.NONE, "price": 0, "size": 0}


class BookMaker:
    """Make one market's books, each a message that replaces the one before.

    Args:
        codec: Of ticks.
        session: The messages' session, microseconds.
    """

    def __init__(self, codec: Codec, instrument: Instrument, session: int, seed: int) -> None:
        self.instrument = instrument
        self._codec = codec
        self._session = session
        self._random = random.Random(seed)
        self._mid = _MID_TICKS
        self._message = 0

    def book(self, ts_recv: int) -> Iterator[bytes]:
        """Encode the next book: CLEAR, then the levels of both sides around a mid that moves by at most a tick."""
        self._message += 1
        self._mid += self._random.choice((-1, 0, 0, 1))
        tick, lot = self.instrument.tick, self.instrument.lot
        parts: list[dict[str, object]] = [{"kind": TickKind.CLEAR, **_NONE}]
        for side, away in ((Side.BUY, -1), (Side.SELL, 1)):
            for level in range(1, _LEVELS + 1):
                price, size = (self._mid + away * level) * tick, self._random.randint(100, 1_000) * lot
                parts.append({"kind": TickKind.LEVEL, "side": side, "price": price, "size": size})
        for ordinal, part in enumerate(parts):
            yield self._codec.encode(
                Tick(
                    venue=self.instrument.venue,
                    source=SOURCE,
                    symbol=self.instrument.symbol,
                    ts_event=ts_recv,
                    ts_recv=ts_recv,
                    session=self._session,
                    message=self._message,
                    ordinal=ordinal,
                    first=ordinal == 0,
                    last=ordinal == len(parts) - 1,
                    **part,  # type: ignore[arg-type]
                )
            )
