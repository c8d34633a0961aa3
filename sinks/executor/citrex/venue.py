"""The adapter of Citrex: the executor's port, over a network that loses, delays and repeats. See docs/citrex.md."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from infra.runtime.clock import Clock
from infra.runtime.settings import Settings
from schemas.enums import Mode
from schemas.errors import ConfigurationError
from schemas.records import Cause, Tick
from schemas.venues.citrex.messages import MAINNET, NETWORKS, network_urls
from schemas.venues.citrex.signing import Signer
from sinks.executor.citrex.account import AccountReader
from sinks.executor.citrex.core import CitrexCore
from sinks.executor.citrex.link import CitrexLink
from sinks.executor.citrex.orders import OrderFlow
from sinks.executor.citrex.preflight import Check, PreflightLimits, gather, judge, require
from sinks.executor.citrex.requests import AccountRequests
from sinks.executor.lapse import Lapse
from sinks.executor.port import Listed, Listings, Orders, VenueEvent

__all__ = ["CitrexVenue", "citrex_venue", "preflight", "requests_of"]

_KEY = "FLASHMM_CITREX_PRIVATE_KEY"


class CitrexVenue:
    """Trade one sub-account of Citrex, of its test network, or of the simulated exchange."""

    mode = Mode.CITREX
    is_executing = True
    is_on_log = False
    shows_our_orders = True

    def __init__(
        self,
        requests: AccountRequests,
        core: CitrexCore,
        link: CitrexLink,
        url: str,
        preflight: Callable[[], list[Check]],
    ) -> None:
        self._requests = requests
        self._core = core
        self._link = link
        self._url = url
        self._is_silent = False
        self._preflight = preflight

    @property
    def account(self) -> str:
        """The account's address."""
        return self._requests.account

    @property
    def banner(self) -> str:
        """Which exchange, which account, and whether it is one."""
        network, domain = self._requests.network, self._requests.network.domain
        what = _KINDS.get(network.venue, "SIMULATED exchange: no real market, no real money")
        who = f"{self._requests.account} sub-account {self._requests.sub_account_id}"
        return f"CITREX, {what}; {network.venue}, chain id {domain.chain_id}, at {self._url}, account {who}"

    @property
    def trouble(self) -> str | None:
        """Why the account cannot be read or traded now."""
        return self._core.trouble

    @property
    def counters(self) -> Mapping[str, int]:
        """Cumulative counts of orders, cancels and rounds of questions."""
        return self._core.counters

    def open(self, now_us: int) -> None:
        """Begin: cancel all, then read the account again and again.

        Raises:
            PreflightFailed: on the main network, where every check must pass.
        """
        if self._requests.network == MAINNET:
            require(self._preflight())
        self._link.start()

    def submit(self, orders: Orders, now_us: int) -> Sequence[VenueEvent]:
        """Hand orders to the wire; what comes of them is told later."""
        self._link.tell(partial(self._core.submit, orders, now_us))
        return ()

    def on_tick(self, tick: Tick, cause: Cause, now_us: int) -> Sequence[VenueEvent]:
        """Do nothing: the venue itself says what becomes of orders."""
        return ()

    def pass_over(self, lapse: Lapse, cause: Cause) -> Sequence[VenueEvent]:
        """Do nothing: the venue itself says what becomes of orders."""
        return ()

    def poll(self, now_us: int) -> Sequence[VenueEvent]:
        """Give what the venue has said since last asked."""
        return self._link.take()

    def withdraw(self, orders: Sequence[Listed], now_us: int) -> None:
        """Cancel orders that should not be there."""
        if orders:
            self._link.tell(partial(self._core.withdraw, tuple(orders), now_us))

    def cancel_all(self, now_us: int) -> None:
        """Cancel everything that rests in the listed markets."""
        self._link.tell(partial(self._core.cancel_all, now_us))

    def hush(self, *, is_silent: bool) -> None:
        """Ask nothing from now on, or ask again."""
        if is_silent != self._is_silent:
            self._is_silent = is_silent
            self._link.tell(partial(self._core.hush, is_silent=is_silent))

    def close(self, timeout_s: float) -> None:
        """End, with cancels done if the venue answers in time."""
        self._link.close(timeout_s)


_KINDS = {"citrex": "the REAL exchange, real money", "citrex-testnet": "the exchange's TEST network, play money"}


def citrex_venue(settings: Settings, listings: Listings, clock: Clock) -> CitrexVenue:
    """Make the adapter of the quoted venue.

    Raises:
        ConfigurationError: it is not one Citrex network, a real one is not enabled, or the key or address is missing.
    """
    requests, url = requests_of(settings, {venue for venue, _ in listings}, listings)
    network = requests.network
    if network.is_real and not settings.trading_enabled:
        problem = f"is off, and {network.venue} is a real venue"
        raise ConfigurationError("TRADING_ENABLED", problem, "Set it to true once `flashmm preflight` passes")
    flow = OrderFlow(requests, per_s=settings.max_sends_per_s, for_cancels=settings.sends_for_cancels)
    reader = AccountReader(
        requests,
        poll_us=settings.citrex_account_poll_ms * 1_000,
        per_s=settings.citrex_account_requests_per_s,
        max_skew_us=settings.citrex_max_skew_ms * 1_000,
    )
    core = CitrexCore(requests, flow, reader)
    link = CitrexLink(core, url, timeout_s=settings.citrex_timeout_ms / 1e3, clock=clock)
    return CitrexVenue(requests, core, link, url, partial(preflight, settings, requests, url, clock))


def preflight(settings: Settings, requests: AccountRequests, url: str, clock: Clock) -> list[Check]:
    """Ask the venue, and make the checks.

    Raises:
        ConfigurationError: a limit is no number.
    """
    limits = PreflightLimits(
        max_skew_us=settings.citrex_max_skew_ms * 1_000,
        order_notional=settings.notional("max_order_quote"),
        position_notional=settings.notional("max_position_quote"),
        gross_notional=settings.notional("max_gross_quote"),
        sends_for_cancels=settings.sends_for_cancels,
    )
    facts = asyncio.run(gather(requests, url, timeout_s=settings.citrex_timeout_ms / 1e3, clock=clock))
    return judge(facts, requests, limits)


def requests_of(settings: Settings, quoted: Iterable[str], listings: Listings) -> tuple[AccountRequests, str]:
    """Give what signs for the quoted network, and the network's address.

    Raises:
        ConfigurationError: the quoted venue is not one Citrex network, or the key or address is missing or wrong.
    """
    venues = sorted(set(quoted))
    network = NETWORKS.get(venues[0]) if len(venues) == 1 else None
    if network is None:
        problem = f"is {', '.join(venues) or 'empty'}: mode citrex trades one of {', '.join(NETWORKS)}"
        raise ConfigurationError("FLASHMM_QUOTED_VENUES", problem, "Name one of them")
    if not settings.citrex_private_key.get_secret_value():
        raise ConfigurationError(_KEY, "is not set", "Put the account's key into the environment, nowhere else")
    signer = Signer(settings.citrex_private_key, setting=_KEY)
    url = network_urls(network, settings.csv("citrex_rest_url"))[0]
    return AccountRequests(signer, network, settings.citrex_sub_account, listings), url
