"""What the tests of the benchmarks share."""

from __future__ import annotations

import pytest

from infra.bench.ticks import TickMaker
from schemas.codec import Codec
from schemas.records import Tick


@pytest.fixture(scope="module")
def codec() -> Codec:
    """The codec of ticks under an arbitrary schema id."""
    return Codec(Tick, 7)


@pytest.fixture
def maker(codec: Codec) -> TickMaker:
    """Ticks of a thousand markets, 100,000 a second."""
    return TickMaker(codec, markets=1_000, start_us=1_760_000_040_000_000, rate=100_000)
