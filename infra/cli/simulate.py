"""`flashmm simulate`: the simulated Sei node, or the simulated Citrex, in the foreground."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated

import typer

from infra.simulator.market import MAX_RATE
from schemas.errors import ConfigurationError, DoesNotFit
from schemas.numbers import AMOUNT_SCALE, to_units
from schemas.venues.citrex.messages import NETWORKS, SIMULATED

__all__ = ["simulate_app"]

simulate_app = typer.Typer(
    help="Run a SIMULATED Sei node (chain and order books), or with `citrex` a SIMULATED order venue, on 127.0.0.1."
)

AsJson = Annotated[bool, typer.Option("--json", help="Print the addresses as one line of JSON.")]
Seed = Annotated[int, typer.Option(help="Of the market; the same seed gives the same market.")]


@simulate_app.callback(invoke_without_command=True)
def _node(
    context: typer.Context,
    seed: Seed = 1,
    rate: Annotated[float, typer.Option(help=f"Multiplies the arrivals of orders and swaps, up to {MAX_RATE:g}.")] = 1,
    ws_port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the WebSockets; 0: any free one.")] = 0,
    rpc_port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the HTTP side; 0: any free one.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Run a SIMULATED Sei node (chain and order books) on 127.0.0.1 until interrupted."""
    if context.invoked_subcommand is None:
        asyncio.run(_simulate_node(seed, rate, ws_port, rpc_port, as_json))


@simulate_app.command("citrex")
def _citrex(
    seed: Seed = 1,
    rate: Annotated[float, typer.Option(min=0, max=20, help="Multiplies what the crowd does; 0: it rests.")] = 1,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0: any free one.")] = 0,
    domain: Annotated[
        str, typer.Option(help=f"Signing domain to check: that of {', '.join(NETWORKS)}.")
    ] = SIMULATED.venue,
    faucet: Annotated[str, typer.Option(help="USDC that a new account gets.")] = "10000",
    orders_per_s: Annotated[int, typer.Option(min=1, help="What an account may sign to trade, a second.")] = 50,
    queries_per_s: Annotated[int, typer.Option(min=1, help="What a client may ask, a second.")] = 100,
    funding_s: Annotated[int, typer.Option(min=1, help="Seconds between two fundings.")] = 3_600,
    clock_skew_ms: Annotated[int, typer.Option(help="How far the venue's clock is ahead of this machine's.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Run a SIMULATED Citrex (books, orders, accounts) on 127.0.0.1 until interrupted."""
    # Imported here: the simulated node needs none of it.
    from infra.runtime.clock import wall_clock_us
    from infra.simulator.citrex.server import SimulatedCitrex
    from infra.simulator.citrex.venue import VenueConfig

    if domain not in NETWORKS:
        raise ConfigurationError("--domain", f"{domain} is unknown", f"Choose among {', '.join(NETWORKS)}")
    try:
        money = to_units(faucet, AMOUNT_SCALE, bits=128)
    except DoesNotFit:
        raise ConfigurationError("--faucet", f"{faucet!r} is not an amount of USDC", "Write a number") from None
    config = VenueConfig(
        seed=seed,
        rate=rate,
        network=NETWORKS[domain],
        faucet=money,
        orders_per_s=orders_per_s,
        queries_per_s=queries_per_s,
        funding_us=funding_s * 1_000_000,
    )

    async def run() -> None:
        async with SimulatedCitrex(config, port=port, clock=lambda: wall_clock_us() + clock_skew_ms * 1_000) as venue:
            addresses = {"rest_url": venue.url, "control_url": venue.control_url}
            chain_id = config.network.domain.chain_id
            await _serve(venue.banner, addresses, {"chain_id": chain_id}, venue.wait, as_json)

    asyncio.run(run())


async def _simulate_node(seed: int, rate: float, ws_port: int, rpc_port: int, as_json: bool) -> None:
    # Imported here: the simulated venue needs none of it.
    from infra.simulator.node import CHAIN_ID, SimulatedNode

    async with SimulatedNode(seed=seed, rate=rate, ws_port=ws_port, rpc_port=rpc_port) as node:
        addresses = {"ws_url": node.ws_url, "clob_url": node.clob_url, "rpc_url": node.rpc_url}
        await _serve(node.banner, addresses, {"chain_id": CHAIN_ID}, node.wait, as_json)


async def _serve(
    banner: str,
    addresses: Mapping[str, str],
    more: Mapping[str, str | int],
    wait: Callable[[], Awaitable[None]],
    as_json: bool,
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if as_json:
        print(json.dumps({**addresses, **more}), flush=True)
    else:
        print(banner)
        for name, address in addresses.items():
            print(f"  {name:11} {address}", flush=True)
    # The market ends only by failing: then the command fails too.
    market, stopped = asyncio.ensure_future(wait()), asyncio.create_task(stop.wait())
    await asyncio.wait((market, stopped), return_when=asyncio.FIRST_COMPLETED)
    if market.done():
        market.result()
    market.cancel()
    stopped.cancel()
