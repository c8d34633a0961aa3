"""Settings become the configuration of the stages."""

from __future__ import annotations

from fractions import Fraction

import pytest

from infra.runtime.settings import load_settings
from processors.kernel.marketbreakers import BreakerLimits
from processors.kernel.pipeline import Stage
from processors.kernel.quotingconfig import QuotingConfig
from processors.kernel.risk import MarketLimits
from processors.startup import pipeline_config
from schemas.enums import Mode
from schemas.errors import ConfigurationError
from schemas.numbers import NOTIONAL_SCALE


def test_the_defaults_of_the_settings_are_those_of_the_stages() -> None:
    """One default each: a stage that is made without settings does what a worker does."""
    config = pipeline_config(load_settings())

    assert config.quoting == QuotingConfig()
    assert config.stages == frozenset(Stage)


def test_every_threshold_of_the_quoter_is_a_setting_and_in_its_hash() -> None:
    """In the units of the kernel."""
    changed = {
        "quote_stale_ms": 2_000,
        "market_spread_bps": 7,
        "price_band_bps": 8,
        "min_spread_bps": 9,
        "max_spread_bps": 10,
        "max_order_quote": "11.5",
        "model_required": True,
        "disconnect_rest_ms": 12,
        "drift_psi": 0.5,
        "drift_window": 130,
        "inference_limit_ms": 14,
        "drift_rest_ms": 15,
        "extreme_move_bps": 16,
        "extreme_window_ms": 1_700,
        "extreme_volatility_bps": 18.0,
        "extreme_rest_ms": 19,
        "breaker_trial_ms": 20,
        "pull_jump_bps": 21,
        "own_order_grace_ms": 22,
    }
    quoting = pipeline_config(load_settings(**changed)).quoting

    assert quoting.limits == MarketLimits(
        stale_us=2_000_000,
        market_spread_bps=7,
        band_bps=8,
        min_spread_bps=9,
        max_spread_bps=10,
        order_quote=115 * 10 ** (NOTIONAL_SCALE - 1),
        is_model_required=True,
    )
    assert quoting.breakers == BreakerLimits(
        disconnect_rest_us=12_000,
        drift_psi=0.5,
        drift_window=130,
        inference_us=14_000,
        drift_rest_us=15_000,
        extreme_move_bps=16,
        extreme_window_us=1_700_000,
        extreme_volatility_bps=18.0,
        extreme_rest_us=19_000,
        trial_us=20_000,
    )
    assert (quoting.jump_bps, quoting.own_grace_us) == (21, 22_000)
    for name, value in changed.items():
        alone = load_settings(**({"max_spread_bps": 10} if name == "min_spread_bps" else {}), **{name: value})
        assert pipeline_config(alone).quoting.config_hash != QuotingConfig().config_hash, name


@pytest.mark.parametrize(("mode", "shows_own"), [(Mode.PAPER, False), (Mode.DRY_RUN, False), (Mode.CITREX, True)])
def test_our_orders_are_in_the_book_of_a_real_venue_alone(mode: Mode, shows_own: bool) -> None:
    """On paper they are in nobody's."""
    assert pipeline_config(load_settings(executor_mode=mode)).quoting.shows_own is shows_own


def test_spreads_that_nothing_can_pass_are_refused() -> None:
    """With the setting's name."""
    with pytest.raises(ConfigurationError, match="FLASHMM_MIN_SPREAD_BPS"):
        pipeline_config(load_settings(min_spread_bps=5, max_spread_bps=4))


def test_a_part_of_a_percent_stays_exact() -> None:
    """A threshold in percent is a fraction in the kernel."""
    assert pipeline_config(load_settings(spike_threshold_pct=12.5)).normalise.spike_threshold == Fraction(1, 8)
