"""Instruments: what a market's symbols, units and group are. Loaded from `instruments.toml`.

A venue's own symbol becomes canonical (`SEI/USDC`) by its instrument, else by the longest known quote asset.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from schemas.enums import ContractKind
from schemas.errors import ConfigurationError, DoesNotFit, ProtocolError
from schemas.numbers import PRICE_SCALE, SIZE_SCALE, to_units
from schemas.reasons import DeadLetterReason
from schemas.records import Instrument, Market

__all__ = ["DEFAULT_PATH", "Instrument", "Instruments", "assets_of", "market_group", "partition_for"]

_KINDS = ("clob", "amm")
_FEE_SCALE = 6
DEFAULT_PATH = Path(__file__).with_name("instruments.toml")

_QUOTE_ASSETS = sorted(
    (
        "USDT",
        "USDC",
        "FDUSD",
        "TUSD",
        "BUSD",
        "USD",
        "EUR",
        "GBP",
        "JPY",
        "TRY",
        "BRL",
        "DAI",
        "BTC",
        "ETH",
        "BNB",
        "SEI",
    ),
    key=len,
    reverse=True,
)


def market_group(symbol: str) -> str:
    """Give the partitioning group of a symbol that has no instrument: its base asset."""
    return symbol.partition("/")[0]


def assets_of(symbol: str) -> tuple[str, str]:
    """Give the base and the quote asset of a canonical symbol: of SEI/USDC-PERP, SEI and USDC."""
    base, _, quote = symbol.partition("/")
    return base, quote.partition("-")[0]


class Instruments:
    """The known instruments, by market and by the venue's own symbol."""

    def __init__(self, instruments: Iterable[Instrument] = ()) -> None:
        self._by_market: dict[Market, Instrument] = {}
        self._by_venue_symbol: dict[tuple[str, str], Instrument] = {}
        for instrument in instruments:
            self._by_market[instrument.venue, instrument.symbol] = instrument
            self._by_venue_symbol[instrument.venue, instrument.venue_symbol.upper()] = instrument

    def __iter__(self) -> Iterator[Instrument]:
        return iter(self._by_market.values())

    def get(self, venue: str, symbol: str) -> Instrument | None:
        """Give the instrument of a market, or None where it is unknown."""
        return self._by_market.get((venue, symbol))

    def group(self, venue: str, symbol: str) -> str:
        """Give the partitioning group of a market."""
        instrument = self._by_market.get((venue, symbol))
        return instrument.group if instrument else market_group(symbol)

    def canonical(self, venue: str, venue_symbol: str) -> str:
        """Give the canonical symbol of what a venue calls a market.

        Raises:
            ProtocolError: UNKNOWN_SYMBOL, where neither an instrument nor a known quote asset explains it.
        """
        symbol = venue_symbol.upper()
        instrument = self._by_venue_symbol.get((venue, symbol))
        if instrument is not None:
            return instrument.symbol
        for separator in "/-_.":
            base, found, quote = symbol.partition(separator)
            if found and base and quote and quote.replace("-", "").isalnum():
                return f"{base}/{quote}"
        if symbol.isalnum():
            for asset in _QUOTE_ASSETS:
                if symbol.endswith(asset) and len(symbol) > len(asset):
                    return f"{symbol[: -len(asset)]}/{asset}"
        raise ProtocolError(DeadLetterReason.UNKNOWN_SYMBOL, f"{venue} symbol {venue_symbol[:64]!r}: add an instrument")

    @classmethod
    def load(cls, path: Path = DEFAULT_PATH) -> Instruments:
        """Load instruments from a TOML file of `[[instrument]]` tables.

        Raises:
            ConfigurationError: the file is missing, not TOML, or a table lacks a field or has a wrong one.
        """
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigurationError(
                str(path), f"cannot be read: {error}", "Give a TOML file of [[instrument]] tables"
            ) from error
        tables = document.get("instrument", [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            raise ConfigurationError(str(path), "`instrument` is not a list of tables", "Write [[instrument]] tables")
        return cls(_from_table(path, table) for table in tables)


def _from_table(path: Path, table: Mapping[str, object]) -> Instrument:
    def wrong(name: str, problem: str, fix: str) -> ConfigurationError:
        which = f"instrument {table.get('venue')} {table.get('symbol')}"
        return ConfigurationError(str(path), f"{which}: {name} {problem}, was {table.get(name)!r}", fix)

    def text(name: str, default: str | None = None) -> str:
        value = table.get(name, default)
        if not isinstance(value, str):
            raise wrong(name, "must be a text", f'Write {name} = "…"')
        return value

    def units(name: str, scale: int, default: str | None = None, *, bits: int = 64) -> int:
        try:
            found = to_units(text(name, default), scale, bits=bits)
        except DoesNotFit:
            raise wrong(name, f"must be a number of at most {scale} decimals", f'Write {name} = "0.01"') from None
        if found < 0 or (default is None and found == 0):
            raise wrong(name, "must be positive", f'Write {name} = "0.01"')
        return found

    def fee(name: str) -> int:
        try:
            return to_units(text(name, "0"), _FEE_SCALE)
        except DoesNotFit:
            raise wrong(name, "must be a part of the value, at most 6 decimals", f'Write {name} = "0.0002"') from None

    kind = text("kind", "clob")
    if kind not in _KINDS:
        raise wrong("kind", "is unknown", f"Choose among {', '.join(_KINDS)}")
    contract = text("contract", ContractKind.SPOT)
    if contract not in tuple(ContractKind):
        raise wrong("contract", "is unknown", f"Choose among {', '.join(ContractKind)}")
    symbol = text("symbol")
    return Instrument(
        venue=text("venue"),
        symbol=symbol,
        venue_symbol=text("venue_symbol", symbol),
        group=text("group", market_group(symbol)),
        has_book=kind != "amm",
        tick=units("tick", PRICE_SCALE),
        lot=units("lot", SIZE_SCALE),
        min_size=units("min_size", SIZE_SCALE, "0"),
        min_notional=units("min_notional", PRICE_SCALE + SIZE_SCALE, "0", bits=128),
        maker_fee_ppm=fee("maker_fee"),
        taker_fee_ppm=fee("taker_fee"),
        contract=ContractKind(contract),
    )


def partition_for(key: bytes, partitions: int) -> int:
    """Give the partition of a key by murmur2, as the default partitioner of Kafka's Java clients does."""
    seed, m = 0x9747B28C, 0x5BD1E995
    length = len(key)
    h = seed ^ length
    whole = length & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(key[i : i + 4], "little")
        k = k * m & 0xFFFFFFFF
        k ^= k >> 24
        k = k * m & 0xFFFFFFFF
        h = (h * m & 0xFFFFFFFF) ^ k
    if length & 3:
        h ^= int.from_bytes(key[whole:], "little")
        h = h * m & 0xFFFFFFFF
    h ^= h >> 13
    h = h * m & 0xFFFFFFFF
    h ^= h >> 15
    return (h & 0x7FFFFFFF) % partitions
