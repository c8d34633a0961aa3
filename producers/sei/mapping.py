"""From an event of the chain to the fields of a tick, by a declared mapping (`mappings.toml`).

The one rule is `swap`: a pool's offered and returned amounts make a TRADE. The amounts are exact at scale 18; price and
size are derived from them, rounded half-even and flagged DERIVED. The taker who offers the quote asset is a buyer.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from producers.numbering import TickFields
from schemas.enums import Flag, Side, TickKind
from schemas.errors import ConfigurationError, DoesNotFit, ProtocolError
from schemas.numbers import AMOUNT_SCALE, INT64_MAX, PRICE_SCALE, SIZE_SCALE, divide_half_even
from schemas.reasons import DeadLetterReason

__all__ = ["DEFAULT_MAPPINGS", "Asset", "ChainEvent", "EventMapping", "Pool", "SwapRule"]

DEFAULT_MAPPINGS = Path(__file__).with_name("mappings.toml")

_Made = TypeVar("_Made")
_AMOUNT = re.compile(r"[0-9]{1,39}", re.ASCII)
_AMOUNT_LIMIT = 10**38
"""Precision of the amounts in the schema: 38 digits."""


@dataclass(frozen=True, slots=True)
class ChainEvent:
    """An event of a transaction, its attributes decoded, in their order; a key may repeat."""

    type: str
    attributes: tuple[tuple[str, str], ...]

    def values(self, key: str) -> list[str]:
        """Give every value of a key."""
        return [value for name, value in self.attributes if name == key]

    def value(self, key: str) -> str:
        """Give the one value of a key.

        Raises:
            ProtocolError: MALFORMED, where the key is absent or repeated.
        """
        values = self.values(key)
        if len(values) != 1:
            problem = "is missing" if not values else "is repeated"
            raise ProtocolError(DeadLetterReason.MALFORMED, f"{self.type} event: attribute {key!r} {problem}")
        return values[0]


@dataclass(frozen=True, slots=True)
class Asset:
    """A token of the chain: amounts are integers of 10**-decimals."""

    name: str
    denom: str
    decimals: int


@dataclass(frozen=True, slots=True)
class Pool:
    """A contract that is trusted to say what it swapped."""

    contract: str
    base: Asset
    quote: Asset

    @property
    def symbol(self) -> str:
        """The canonical symbol."""
        return f"{self.base.name}/{self.quote.name}"


@dataclass(frozen=True, slots=True)
class SwapRule:
    """An event type, what tells it from others of the type, and the names of its attributes."""

    type: str
    where: tuple[tuple[str, str], ...]
    contract: str
    offer_asset: str
    offer_amount: str
    ask_asset: str
    ask_amount: str

    @property
    def keys(self) -> frozenset[str]:
        """Every attribute that the rule reads."""
        names = (self.contract, self.offer_asset, self.offer_amount, self.ask_asset, self.ask_amount)
        return frozenset((*names, *(key for key, _ in self.where)))

    def matches(self, event: ChainEvent) -> bool:
        """Tell whether the event is what the rule is about."""
        return event.type == self.type and all(wanted in event.values(key) for key, wanted in self.where)

    def fields(self, event: ChainEvent, pool: Pool) -> TickFields:
        """Make the tick's fields.

        Raises:
            ProtocolError: an attribute is missing, repeated, not an amount, or not an asset of the pool.
            DoesNotFit: an amount, or the price or size made of them, has too many digits, or is zero after rounding.
        """
        for key, _ in self.where:
            event.value(key)
        offer, ask = event.value(self.offer_asset), event.value(self.ask_asset)
        offered, returned = _amount(event, self.offer_amount), _amount(event, self.ask_amount)
        if (offer, ask) == (pool.quote.denom, pool.base.denom):
            side, base, quote = Side.BUY, returned, offered
        elif (offer, ask) == (pool.base.denom, pool.quote.denom):
            side, base, quote = Side.SELL, offered, returned
        else:
            detail = f"pool {pool.contract} does not swap {offer[:80]!r} for {ask[:80]!r}"
            raise ProtocolError(DeadLetterReason.UNKNOWN_SYMBOL, detail)
        base_amount, quote_amount = _exact(base, pool.base), _exact(quote, pool.quote)
        return TickFields(
            symbol=pool.symbol,
            kind=TickKind.TRADE,
            side=side,
            price=_derived(quote_amount * 10**PRICE_SCALE, base_amount, PRICE_SCALE),
            size=_derived(base_amount, 10 ** (AMOUNT_SCALE - SIZE_SCALE), SIZE_SCALE),
            base_amount=base_amount,
            quote_amount=quote_amount,
            flags=int(Flag.DERIVED),
        )


class EventMapping:
    """All rules and pools of a chain.

    Args:
        pools: Contracts whose events are believed; those of others are nobody's.
        rules: How each event type is read; the first that matches an event makes its tick.
    """

    def __init__(self, pools: Iterable[Pool], rules: Iterable[SwapRule]) -> None:
        self.pools: Mapping[str, Pool] = {pool.contract: pool for pool in pools}
        self.rules = tuple(rules)
        self._keys: dict[str, frozenset[str]] = {}
        for rule in self.rules:
            self._keys[rule.type] = self._keys.get(rule.type, frozenset()) | rule.keys

    @property
    def symbols(self) -> tuple[str, ...]:
        """The markets that the pools make, each once."""
        return tuple(dict.fromkeys(pool.symbol for pool in self.pools.values()))

    def keys(self, event_type: str) -> frozenset[str]:
        """Give the attributes read of an event type; none for a type that no rule is about."""
        return self._keys.get(event_type, frozenset())

    def fields(self, event: ChainEvent) -> TickFields | None:
        """Make the tick of an event, or None where it has none: no rule matches, or the contract is not a known pool.

        Raises:
            ProtocolError: a rule matches an event of a known pool that is not as declared.
            DoesNotFit: its amounts do not fit the schema.
        """
        for rule in self.rules:
            if rule.matches(event):
                pool = next((self.pools[c] for c in event.values(rule.contract) if c in self.pools), None)
                if pool is None:
                    return None
                event.value(rule.contract)
                return rule.fields(event, pool)
        return None

    @classmethod
    def load(cls, path: Path = DEFAULT_MAPPINGS) -> EventMapping:
        """Load a mapping file.

        Raises:
            ConfigurationError: it cannot be read, or a table lacks a key or has a wrong one.
        """
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise _wrong(path, f"cannot be read: {error}") from error
        assets = {asset.denom: asset for asset in _tables(path, document, "asset", _asset)}

        def pool(path: Path, table: Mapping[str, Any]) -> Pool:
            for key in ("base", "quote"):
                if table.get(key) not in assets:
                    raise _wrong(path, f"pool: {key} = {table.get(key)!r} is not the denom of an [[asset]]")
            return Pool(_text(path, "pool", table, "contract"), assets[table["base"]], assets[table["quote"]])

        return cls(_tables(path, document, "pool", pool), _tables(path, document, "event", _rule))


def _amount(event: ChainEvent, key: str) -> int:
    text = event.value(key)
    if not _AMOUNT.fullmatch(text):
        detail = f"{event.type} event: {key} {text[:64]!r} is not a whole amount"
        raise ProtocolError(DeadLetterReason.MALFORMED, detail)
    if int(text) == 0:
        raise ProtocolError(DeadLetterReason.MALFORMED, f"{event.type} event: {key} is zero")
    return int(text)


def _exact(amount: int, asset: Asset) -> int:
    units: int = amount * 10 ** (AMOUNT_SCALE - asset.decimals)
    if units >= _AMOUNT_LIMIT:
        raise DoesNotFit(f"{amount}e-{asset.decimals}", AMOUNT_SCALE)
    return units


def _derived(numerator: int, denominator: int, scale: int) -> int:
    units = divide_half_even(numerator, denominator)
    if not 0 < units <= INT64_MAX:
        raise DoesNotFit(f"{numerator}/{denominator}", scale)
    return units


def _wrong(path: Path, problem: str) -> ConfigurationError:
    return ConfigurationError(
        "FLASHMM_SEI_MAPPINGS", f"{path}: {problem}", "See docs/adding-an-event-mapping.md for the form of the file"
    )


def _tables(
    path: Path, document: Mapping[str, Any], name: str, make: Callable[[Path, Mapping[str, Any]], _Made]
) -> list[_Made]:
    tables = document.get(name, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise _wrong(path, f"{name} must be written as [[{name}]] tables")
    return [make(path, table) for table in tables]


def _text(path: Path, where: str, table: Mapping[str, Any], key: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value:
        raise _wrong(path, f"{where}: {key} must be a text, was {value!r}")
    return value


def _asset(path: Path, table: Mapping[str, Any]) -> Asset:
    decimals = table.get("decimals")
    if not isinstance(decimals, int) or not 0 <= decimals <= AMOUNT_SCALE:
        raise _wrong(path, f"asset: decimals must be a whole number from 0 to {AMOUNT_SCALE}, was {decimals!r}")
    return Asset(_text(path, "asset", table, "name"), _text(path, "asset", table, "denom"), decimals)


def _rule(path: Path, table: Mapping[str, Any]) -> SwapRule:
    if table.get("makes") != "swap":
        raise _wrong(path, f'event: makes must be "swap", was {table.get("makes")!r}')
    where = table.get("where", {})
    if not isinstance(where, dict) or not all(isinstance(value, str) for value in where.values()):
        raise _wrong(path, "event: where must be a table of texts")
    names = ("type", "contract", "offer_asset", "offer_amount", "ask_asset", "ask_amount")
    texts = {name: _text(path, "event", table, name) for name in names}
    return SwapRule(where=tuple(where.items()), **texts)
