"""What is signed: the EIP-712 types and the domain of each network.

Types, their fields and their order are the exchange's; a signature over any other is somebody else's address.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum, unique
from typing import ClassVar, TypeAlias

from schemas.errors import ConfigurationError, ProtocolError
from schemas.reasons import DeadLetterReason
from schemas.venues.citrex.units import price_to_wire, size_to_wire

__all__ = [
    "MAINNET",
    "NETWORKS",
    "SIMULATED",
    "TESTNET",
    "TYPES",
    "Authentication",
    "CancelOrder",
    "CancelOrders",
    "Domain",
    "Field",
    "Network",
    "Order",
    "OrderStatus",
    "OrderType",
    "SignedMessage",
    "TimeInForce",
    "address_of",
    "network_urls",
]

Field: TypeAlias = str | int | bool

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)


@unique
class OrderType(IntEnum):
    """What kind of order; the numbers are the venue's."""

    LIMIT = 0
    LIMIT_MAKER = 1
    """Post-only."""
    MARKET = 2
    """Takes at most up to its price."""
    LIMIT_REDUCE_ONLY = 7


@unique
class TimeInForce(IntEnum):
    """How long an order rests; the numbers are the venue's."""

    GTC = 0
    FOK = 1
    IOC = 2


@unique
class OrderStatus(StrEnum):
    """An order's state as the venue says it."""

    PENDING = "PENDING"
    OPEN = "OPEN"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"


@dataclass(frozen=True, slots=True)
class Domain:
    """An EIP-712 domain: a signature for one is worth nothing in another."""

    chain_id: int
    verifying_contract: str
    name: str = "ciao"
    version: str = "0.0.0"

    def fields(self) -> dict[str, Field]:
        """Give the fields by their names in EIP-712."""
        return {
            "name": self.name,
            "version": self.version,
            "chainId": self.chain_id,
            "verifyingContract": self.verifying_contract,
        }


@dataclass(frozen=True, slots=True)
class Network:
    """A place where the venue, or a stand-in for it, trades.

    Attributes:
        venue: Venue of its ticks and orders.
        rest_url: Its REST address; empty where the operator says it.
        margin_asset: Contract of the asset that margin is held in, USDC of 6 decimals.
        is_real: Whether orders there are orders of a real exchange.
    """

    venue: str
    domain: Domain
    rest_url: str
    margin_asset: str
    is_real: bool


MAINNET = Network(
    "citrex",
    Domain(1329, "0x993543DC8BdFCba9fc7355d822108eF49dB6b9F9"),
    "https://api.citrex.markets/v1",
    "0x3894085Ef7Ff0f0aeDf52E2A2704928d1Ec074F1",
    is_real=True,
)
TESTNET = Network(
    "citrex-testnet",
    Domain(1328, "0x24f4e9Db8225e6AE220FE89782E4A010aEB7bb14"),
    "https://api.staging.citrex.markets/v1",
    "0x79A59c326C715AC2d31C169C85d1232319E341ce",
    is_real=True,
)
SIMULATED = Network(
    "sim-citrex",
    # A chain id that no Sei network has, so that what is signed here is worth nothing anywhere else.
    Domain(713_799, "0x5151515151515151515151515151515151515151"),
    "",
    "0x5252525252525252525252525252525252525252",
    is_real=False,
)
NETWORKS: Mapping[str, Network] = {network.venue: network for network in (MAINNET, TESTNET, SIMULATED)}


def network_urls(network: Network, stated: Sequence[str]) -> tuple[str, ...]:
    """Give the REST addresses of a network: those that the operator states, else its own.

    Raises:
        ConfigurationError: it has none of its own, and none is stated.
    """
    urls = tuple(stated) or tuple(filter(None, (network.rest_url,)))
    if not urls:
        problem = f"is not set, and {network.venue} has no address of its own"
        raise ConfigurationError("FLASHMM_CITREX_REST_URL", problem, "Give that of `flashmm simulate citrex`")
    return urls


TYPES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "Order": (
        ("account", "address"),
        ("subAccountId", "uint8"),
        ("productId", "uint32"),
        ("isBuy", "bool"),
        ("orderType", "uint8"),
        ("timeInForce", "uint8"),
        ("expiration", "uint64"),
        ("price", "uint128"),
        ("quantity", "uint128"),
        ("nonce", "uint64"),
    ),
    "CancelOrder": (("account", "address"), ("subAccountId", "uint8"), ("productId", "uint32"), ("orderId", "string")),
    "CancelOrders": (("account", "address"), ("subAccountId", "uint8"), ("productId", "uint32")),
    "SignedAuthentication": (("account", "address"), ("subAccountId", "uint8")),
}
"""The fields, name and type, of each primary type, in the order that is hashed."""

_BITS = {"uint8": 8, "uint32": 32, "uint64": 64, "uint128": 128}


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedMessage:
    """Something that an account signs; `account` is its address, `sub_account_id` one of its 256 sub-accounts."""

    primary_type: ClassVar[str]
    account: str
    sub_account_id: int

    def fields(self) -> dict[str, Field]:
        """Give the fields as they are hashed.

        Raises:
            ProtocolError: DOES_NOT_FIT, where a number is negative or too large for its type.
        """
        fields = self._values()
        for name, kind in TYPES[self.primary_type]:
            value = fields[name]
            if kind in _BITS and not 0 <= int(value) < 1 << _BITS[kind]:
                detail = f"{name} of {self.primary_type} is not a {kind}: {value}"
                raise ProtocolError(DeadLetterReason.DOES_NOT_FIT, detail)
        return fields

    def _values(self) -> dict[str, Field]:
        return {"account": self.account, "subAccountId": self.sub_account_id}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order(SignedMessage):
    """A new order.

    Attributes:
        expiration_ms: When the venue cancels it, milliseconds UTC.
        price, size: In units of 1e-9 and 1e-8.
        nonce: The only identity that the client chooses; never used twice.
    """

    primary_type = "Order"
    product_id: int
    is_buy: bool
    order_type: OrderType
    time_in_force: TimeInForce
    expiration_ms: int
    price: int
    size: int
    nonce: int

    def _values(self) -> dict[str, Field]:
        return {
            "account": self.account,
            "subAccountId": self.sub_account_id,
            "productId": self.product_id,
            "isBuy": self.is_buy,
            "orderType": int(self.order_type),
            "timeInForce": int(self.time_in_force),
            "expiration": self.expiration_ms,
            "price": price_to_wire(self.price),
            "quantity": size_to_wire(self.size),
            "nonce": self.nonce,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelOrder(SignedMessage):
    """The cancellation of one order, by the id that the venue gave it."""

    primary_type = "CancelOrder"
    product_id: int
    order_id: str

    def _values(self) -> dict[str, Field]:
        return {
            "account": self.account,
            "subAccountId": self.sub_account_id,
            "productId": self.product_id,
            "orderId": self.order_id,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelOrders(SignedMessage):
    """The cancellation of all of a sub-account's orders in one product."""

    primary_type = "CancelOrders"
    product_id: int

    def _values(self) -> dict[str, Field]:
        return {"account": self.account, "subAccountId": self.sub_account_id, "productId": self.product_id}


@dataclass(frozen=True, slots=True, kw_only=True)
class Authentication(SignedMessage):
    """What queries of a sub-account are signed with. It has no time and no nonce: who has it may always ask."""

    primary_type = "SignedAuthentication"


def address_of(value: object, what: str) -> str:
    """Read an account's address, in small letters, so that two can be compared.

    Raises:
        ProtocolError: MALFORMED, for anything else.
    """
    if not isinstance(value, str) or not _ADDRESS.fullmatch(value):
        raise ProtocolError(DeadLetterReason.MALFORMED, f"{what} is not an address: {str(value)[:64]!r}")
    return value.lower()
