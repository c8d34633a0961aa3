"""`flashmm instruments`: the markets' static facts, from a file into their topic, and as the topic has them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from infra.cli.output import print_json, print_table
from infra.runtime.settings import load_settings
from schemas.instruments import DEFAULT_PATH
from schemas.numbers import NOTIONAL_SCALE, PRICE_SCALE, SIZE_SCALE, format_units
from schemas.records import Instrument
from sinks.instruments import load_instruments, read_instruments

__all__ = ["instruments_app"]

instruments_app = typer.Typer(help="The instruments of reference.instruments.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
File = Annotated[
    Path | None, typer.Argument(help="TOML file; FLASHMM_INSTRUMENTS, or the built-in one, where not given.")
]


@instruments_app.command()
def load(file: File = None, as_json: AsJson = False) -> None:
    """Write a file's instruments where they differ from the topic's; they hold at once.

    Fees, minima and margin that a venue has said of itself stay. Markets that the file leaves out stay, and none may
    change its group.
    """
    settings = load_settings()
    written = load_instruments(settings, file)
    path = file or settings.instruments or DEFAULT_PATH
    if as_json:
        print_json({"file": str(path), "written": [_row(instrument) for instrument in written]})
    elif written:
        _print(written, f"Written from {path}")
    else:
        print(f"reference.instruments says what {path} does already")


@instruments_app.command("list")
def list_instruments(as_json: AsJson = False) -> None:
    """List the last instrument of each market, in force or to come."""
    table, _ = read_instruments(load_settings())
    instruments = sorted(table, key=lambda instrument: instrument.market)
    if as_json:
        print_json([_row(instrument) for instrument in instruments])
    elif instruments:
        _print(instruments, "Instruments")
    else:
        print("There are none: run `flashmm instruments load`")


def _print(instruments: list[Instrument], title: str) -> None:
    columns = ["venue", "symbol", "contract", "tick", "lot", "min_size", "min_notional", "maker_fee_ppm", "source"]
    rows = [[_row(instrument)[column] for column in columns] for instrument in instruments]
    print_table(columns, rows, title=title)


def _row(instrument: Instrument) -> dict[str, Any]:
    return {
        "venue": instrument.venue,
        "symbol": instrument.symbol,
        "venue_symbol": instrument.venue_symbol,
        "group": instrument.group,
        "has_book": instrument.has_book,
        "tick": format_units(instrument.tick, PRICE_SCALE),
        "lot": format_units(instrument.lot, SIZE_SCALE),
        "min_size": format_units(instrument.min_size, SIZE_SCALE),
        "min_notional": format_units(instrument.min_notional, NOTIONAL_SCALE),
        "maker_fee_ppm": instrument.maker_fee_ppm,
        "taker_fee_ppm": instrument.taker_fee_ppm,
        "contract": str(instrument.contract),
        "initial_margin_ppm": instrument.initial_margin_ppm,
        "base_decimals": instrument.base_decimals,
        "quote_decimals": instrument.quote_decimals,
        "source": str(instrument.source),
        "ts_effective": instrument.ts_effective,
    }
