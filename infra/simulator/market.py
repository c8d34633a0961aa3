"""The seeded market behind the simulated node: two order books, a pool and a chain, a function of (seed, time).

Nothing here reads a clock. Time is cut into steps of 10 ms from `start_us`, so what happened until a moment does not
depend on how often or in what portions it was asked for. Each part draws from a generator of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from random import Random
from typing import TypeAlias

from infra.simulator.chain import Block, Chain
from infra.simulator.flow import BookChanged, ClobMarket, FlowModel, Traded
from infra.simulator.price import FairPrice, PriceModel
from schemas.errors import ConfigurationError
from schemas.numbers import PRICE_SCALE, SIZE_SCALE, to_units

__all__ = ["BOOK_DEPTH", "MAX_RATE", "STEP_US", "Market", "MarketEvent"]

STEP_US = 10_000
BOOK_DEPTH = 15
MAX_RATE = 200.0

MarketEvent: TypeAlias = BookChanged | Traded | Block

_SEI = PriceModel(start=0.42, volatility_bp=2.0)
_ETH = PriceModel(start=3_200.0, volatility_bp=1.3)
_SEI_USDC = FlowModel(
    symbol="SEI/USDC", tick=to_units("0.0001", PRICE_SCALE), lot=to_units("1", SIZE_SCALE), median_size=350.0
)
_WETH_USDC = FlowModel(
    symbol="wETH/USDC", tick=to_units("0.01", PRICE_SCALE), lot=to_units("0.0001", SIZE_SCALE), median_size=0.08
)


class Market:
    """All simulated markets of one seed.

    `rate` multiplies the arrivals of orders and swaps; prices move per second of simulated time whatever the rate.

    Raises:
        ConfigurationError: the rate is not above 0 and at most 200.
    """

    def __init__(self, seed: int, *, start_us: int, rate: float = 1.0) -> None:
        if not 0 < rate <= MAX_RATE:
            raise ConfigurationError("rate", f"{rate} is out of range", f"Give a rate above 0 and at most {MAX_RATE:g}")
        self.seed = seed
        self._now_us = start_us
        fair = {name: FairPrice(model, self._rng(name), STEP_US / 1e6) for name, model in _FAIR.items()}
        self._fair = tuple(fair.values())
        self.clobs = {
            model.symbol: ClobMarket(
                model, fair[asset], self._rng(model.symbol), rate=rate, depth=BOOK_DEPTH, start_us=start_us
            )
            for asset, model in _FLOW
        }
        self.chain = Chain(fair["SEI"], self._rng("chain"), rate=rate, start_us=start_us)

    @property
    def now_us(self) -> int:
        """The simulated time reached so far, microseconds UTC."""
        return self._now_us

    @property
    def symbols(self) -> tuple[str, ...]:
        """The order-book markets as their venue writes them."""
        return tuple(self.clobs)

    def advance(self, until_us: int) -> Iterator[MarketEvent]:
        """Run every whole step that ends by `until_us` and give its events in order of time."""
        while self._now_us + STEP_US <= until_us:
            yield from self._step()

    def _step(self) -> list[MarketEvent]:
        for fair in self._fair:
            fair.step()
        orders = [event for clob in self.clobs.values() for event in clob.step(STEP_US)]
        self._now_us += STEP_US
        return [*sorted(orders, key=attrgetter("ts_us")), *self.chain.step(self._now_us)]

    def _rng(self, name: str) -> Random:
        return Random(f"{self.seed}|{name}")


_FAIR = {"SEI": _SEI, "ETH": _ETH}
_FLOW = (("SEI", _SEI_USDC), ("ETH", _WETH_USDC))
