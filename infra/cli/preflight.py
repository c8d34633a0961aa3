"""`flashmm preflight`: what must hold before real money is traded."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from infra.cli.output import ExitCode, print_json, print_table
from infra.runtime.clock import wall_clock_us
from infra.runtime.settings import load_settings
from schemas.instruments import DEFAULT_PATH, Instruments, partition_for
from sinks.executor.port import Listing

__all__ = ["preflight"]


def preflight(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False) -> None:
    """Check clock, markets, books, balance, margin, limits and rate budget at the quoted Citrex network.

    Nothing is changed there. The executor makes the same checks itself before it trades on the main network. The exit
    code is 1 where a check fails.
    """
    # Imported here: signing takes half a second to import.
    from sinks.executor.citrex import venue as citrex

    settings = load_settings()
    instruments = Instruments.load(settings.instruments or DEFAULT_PATH)
    venues = settings.csv("quoted_venues")
    listings = {
        one.market: Listing(one, partition_for(one.group.encode(), settings.kafka_partitions))
        for one in instruments
        if one.venue in venues and one.has_book
    }
    requests, url = citrex.requests_of(settings, venues, listings)
    checks = citrex.preflight(settings, requests, url, wall_clock_us)
    is_passed = all(check.is_passed for check in checks)
    who = {"venue": requests.network.venue, "account": requests.account, "sub_account": requests.sub_account_id}
    if as_json:
        print_json({**who, "is_passed": is_passed, "checks": [asdict(check) for check in checks]})
    else:
        rows = [(check.name, "ok" if check.is_passed else "FAIL", check.detail) for check in checks]
        print_table(("check", "result", "detail"), rows, title=f"{who['venue']} at {url}, account {who['account']}")
    if not is_passed:
        raise typer.Exit(ExitCode.ERROR)
