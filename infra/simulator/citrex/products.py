"""What the simulated venue trades, in the venue's integers of 1e-18."""

from __future__ import annotations

from dataclasses import dataclass

from infra.simulator.price import PriceModel

__all__ = ["ONE", "PRODUCTS", "Product", "value_of"]

ONE = 10**18


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A perpetual.

    Attributes:
        tick, lot: What prices and quantities are multiples of; their product must have no digit beyond 1e-18, so that
            the value of every trade is exact.
        max_quantity: Of one order.
        maker_rate, taker_rate: Fees, as a part of a trade's value.
        initial_margin, maintenance_margin: Parts of a position's value that must be there to open and to keep it.
        model: Of the fair price that its crowd trades around.
        median_quantity: Of the crowd's orders, a float because it only feeds the generator.
    """

    product_id: int
    symbol: str
    base_asset: str
    tick: int
    lot: int
    max_quantity: int
    maker_rate: int
    taker_rate: int
    initial_margin: int
    maintenance_margin: int
    model: PriceModel
    median_quantity: float

    def __post_init__(self) -> None:
        assert self.tick * self.lot % ONE == 0, "a trade's value would not be exact"


def value_of(price: int, quantity: int) -> int:
    """Give the value of a quantity at a price, exact for multiples of tick and lot."""
    value, rest = divmod(price * quantity, ONE)
    assert rest == 0, "a price off the tick or a quantity off the lot"
    return value


PRODUCTS = (
    Product(
        product_id=1010,
        symbol="seiperp",
        base_asset="SEI",
        tick=ONE // 100_000,
        lot=ONE // 10,
        max_quantity=1_000_000 * ONE,
        maker_rate=5 * ONE // 100_000,
        taker_rate=2 * ONE // 10_000,
        initial_margin=ONE // 10,
        maintenance_margin=ONE // 20,
        model=PriceModel(start=0.42, volatility_bp=2.0),
        median_quantity=350.0,
    ),
    Product(
        product_id=1002,
        symbol="ethperp",
        base_asset="WETH",
        tick=ONE // 10,
        lot=ONE // 10_000,
        max_quantity=10_000 * ONE,
        maker_rate=5 * ONE // 100_000,
        taker_rate=2 * ONE // 10_000,
        initial_margin=ONE // 20,
        maintenance_margin=3 * ONE // 100,
        model=PriceModel(start=3_200.0, volatility_bp=1.3),
        median_quantity=0.08,
    ),
)
