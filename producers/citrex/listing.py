"""What Citrex says of a product, against the instrument that we go by. Pure."""

from __future__ import annotations

from dataclasses import replace

from schemas.enums import ContractKind, InstrumentSource
from schemas.instruments import Instrument
from schemas.venues.citrex.market_data import Product
from schemas.venues.citrex.units import WIRE_ONE

__all__ = ["disagreement", "with_terms"]

_PPM = 1_000_000
_ONE: int = WIRE_ONE


def disagreement(instrument: Instrument, product: Product | None) -> str:
    """Say in what a listing differs from the instrument, so that it cannot be traded by it; nothing where it can."""
    if product is None:
        return "the venue does not list it"
    if not product.is_active:
        return "the venue has suspended it"
    if (product.kind == "PERP") != (instrument.contract is ContractKind.PERPETUAL):
        return f"the instrument is a {instrument.contract} contract, the venue's a {product.kind}"
    if not product.tick or instrument.tick % product.tick:
        return f"the instrument's tick {instrument.tick} is no multiple of the venue's {product.tick} (units of 1e-9)"
    if not product.min_size or instrument.lot % product.min_size:
        return f"the instrument's lot {instrument.lot} is no multiple of the venue's {product.min_size} (units of 1e-8)"
    return ""


def with_terms(instrument: Instrument, product: Product, now_us: int) -> Instrument:
    """Give the instrument with the venue's own fees, smallest size and initial margin, from now on.

    Parts finer than a millionth are rounded up: against us.
    """
    maker = _ppm(product.maker_fee_rate)
    margin = max(_ONE - product.initial_long_weight, product.initial_short_weight - _ONE)
    return replace(
        instrument,
        min_size=max(product.min_size, instrument.lot),
        maker_fee_ppm=-(product.maker_fee_rate * _PPM // _ONE) if product.is_maker_rebate else maker,
        taker_fee_ppm=_ppm(product.taker_fee_rate),
        initial_margin_ppm=max(0, _ppm(margin)),
        source=InstrumentSource.VENUE,
        ts_effective=now_us,
    )


def _ppm(rate: int) -> int:
    return -(-rate * _PPM // _ONE)
