"""`flashmm simulate`: the simulated Sei node in the foreground."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import Annotated

import typer

from infra.simulator.market import MAX_RATE
from infra.simulator.node import CHAIN_ID, SimulatedNode

__all__ = ["simulate"]


def simulate(
    seed: Annotated[int, typer.Option(help="Of the market; the same seed gives the same market.")] = 1,
    rate: Annotated[float, typer.Option(help=f"Multiplies the arrivals of orders and swaps, up to {MAX_RATE:g}.")] = 1,
    ws_port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the WebSockets; 0: any free one.")] = 0,
    rpc_port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the HTTP side; 0: any free one.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the addresses as one line of JSON.")] = False,
) -> None:
    """Run a SIMULATED Sei node (chain and order books) on 127.0.0.1 until interrupted."""
    asyncio.run(_simulate(seed, rate, ws_port, rpc_port, as_json))


async def _simulate(seed: int, rate: float, ws_port: int, rpc_port: int, as_json: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with SimulatedNode(seed=seed, rate=rate, ws_port=ws_port, rpc_port=rpc_port) as node:
        addresses = {"ws_url": node.ws_url, "clob_url": node.clob_url, "rpc_url": node.rpc_url}
        if as_json:
            print(json.dumps({**addresses, "chain_id": CHAIN_ID}), flush=True)
        else:
            print(node.banner)
            for name, address in addresses.items():
                print(f"  {name:9} {address}", flush=True)
        # The market ends only by failing: then the command fails too.
        market, stopped = asyncio.create_task(node.wait()), asyncio.create_task(stop.wait())
        await asyncio.wait((market, stopped), return_when=asyncio.FIRST_COMPLETED)
        if market.done():
            market.result()
        market.cancel()
