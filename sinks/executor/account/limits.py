"""What the settings say an account may do, and what a paper account begins with."""

from __future__ import annotations

from collections.abc import Mapping

from infra.runtime.settings import Settings
from schemas.enums import Mode
from schemas.errors import ConfigurationError, DoesNotFit
from schemas.numbers import AMOUNT_SCALE, to_units
from sinks.executor.account.view import AccountLimits

__all__ = ["limits_of", "starting_of"]


def limits_of(settings: Settings) -> AccountLimits:
    """Give what the account may do at most.

    Raises:
        ConfigurationError: a value is no number, or cancels leave nothing to new orders.
    """
    if settings.sends_for_cancels >= settings.max_sends_per_s:
        problem = f"is {settings.sends_for_cancels}, and {settings.max_sends_per_s} are allowed in all"
        raise ConfigurationError("FLASHMM_SENDS_FOR_CANCELS", problem, "Leave some to new orders")
    return AccountLimits(
        order_notional=settings.notional("max_order_quote"),
        gross_notional=settings.notional("max_gross_quote"),
        open_orders=settings.max_open_orders,
        sends_per_s=settings.max_sends_per_s,
        sends_for_cancels=settings.sends_for_cancels,
        drawdown=settings.notional("max_drawdown_quote"),
        daily_loss=settings.notional("max_daily_loss_quote"),
        price_band_bps=settings.order_price_band_bps,
    )


def starting_of(settings: Settings) -> Mapping[str, int] | None:
    """Give what a paper account begins with at each venue, by asset, in 1e-18; None where the venue tells.

    Raises:
        ConfigurationError: a part is not ASSET=AMOUNT.
    """
    if settings.executor_mode not in (Mode.PAPER, Mode.DRY_RUN):
        return None
    found: dict[str, int] = {}
    for part in settings.csv("paper_balances"):
        asset, _, amount = part.partition("=")
        try:
            units = to_units(amount.strip(), AMOUNT_SCALE, bits=128)
        except DoesNotFit:
            units = -1
        if not asset.strip() or units < 0:
            problem = f"has the part {part!r}"
            raise ConfigurationError("FLASHMM_PAPER_BALANCES", problem, "Write ASSET=AMOUNT, like USDC=100000")
        found[asset.strip()] = units
    return found
