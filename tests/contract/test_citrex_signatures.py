"""Requests and signatures against those that the exchange's SDK makes, and against a digest worked out by hand.

The data are what citrex-sdk 1.2.2 sent for one key (published with its tests) on both networks. ECDSA signatures of
one message by one key are the same everywhere (RFC 6979), so they are compared byte for byte.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from Crypto.Hash import keccak
from eth_keys.datatypes import PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from schemas.errors import ConfigurationError, ProtocolError
from schemas.venues.citrex import requests
from schemas.venues.citrex.messages import (
    MAINNET,
    NETWORKS,
    SIMULATED,
    TESTNET,
    TYPES,
    Authentication,
    CancelOrder,
    CancelOrders,
    Domain,
    Order,
    OrderType,
    SignedMessage,
    TimeInForce,
)
from schemas.venues.citrex.signing import Signer
from schemas.venues.citrex.units import price_from_wire, size_from_wire

VECTORS = json.loads(Path(__file__).with_name("data").joinpath("citrex-sdk-1.2.2.json").read_text(encoding="utf-8"))
KEY = "0xa608cd43cbc3d59bc51443f475b96a4654e956d6cc91783598a8e76a34000174"
ADDRESS = "0xb47B0b1e44B932Ae9Bb01817E7010A553A965Ea8"
SIGNER = Signer(SecretStr(KEY), setting="KEY")


def order_of(body: dict[str, Any]) -> Order:
    """Our order of the SDK's."""
    return Order(
        account=SIGNER.address,
        sub_account_id=body["subAccountId"],
        product_id=body["productId"],
        is_buy=body["isBuy"],
        order_type=OrderType(body["orderType"]),
        time_in_force=TimeInForce(body["timeInForce"]),
        expiration_ms=body["expiration"],
        price=price_from_wire(int(body["price"])),
        size=size_from_wire(int(body["quantity"])),
        nonce=body["nonce"],
    )


def request_of(vector: dict[str, Any]) -> requests.Request:
    """The request that we make where the SDK made the vector's."""
    domain = NETWORKS[vector["network"]].domain
    body = vector.get("body") or vector["query"]

    def sign(message: SignedMessage) -> str:
        return SIGNER.sign(message, domain)

    match vector["method"], vector["path"]:
        case "POST", "order":
            order = order_of(body)
            return requests.place_order(order, sign(order))
        case "POST", "order/cancel-and-replace":
            order = order_of(body["newOrder"])
            return requests.cancel_and_replace(body["idToCancel"], order, sign(order))
        case "DELETE", "order":
            cancel = CancelOrder(
                account=SIGNER.address,
                sub_account_id=body["subAccountId"],
                product_id=body["productId"],
                order_id=body["orderId"],
            )
            return requests.cancel_order(cancel, sign(cancel))
        case "DELETE", "openOrders":
            all_of = CancelOrders(
                account=SIGNER.address, sub_account_id=body["subAccountId"], product_id=body["productId"]
            )
            return requests.cancel_orders(all_of, sign(all_of))
        case _:
            who = Authentication(account=SIGNER.address, sub_account_id=int(body["subAccountId"]))
            return requests.balances(who, sign(who))


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: f"{v['network']}-{v['method']}-{v['path']}")
def test_a_request_is_the_one_that_the_sdk_makes(vector: dict[str, Any]) -> None:
    """Method, path, every field and its type in JSON, and the signature."""
    request = request_of(vector)

    assert (request.method, request.path) == (vector["method"], vector["path"])
    if request.body is None:
        assert dict(request.query) == vector["query"]
    else:
        assert json.loads(request.body) == vector["body"]


def test_the_domains_are_the_exchanges() -> None:
    """Chain and contract of both networks; the simulated venue's are neither."""
    assert SIGNER.address == ADDRESS
    assert MAINNET.domain == Domain(1329, "0x993543DC8BdFCba9fc7355d822108eF49dB6b9F9", "ciao", "0.0.0")
    assert TESTNET.domain == Domain(1328, "0x24f4e9Db8225e6AE220FE89782E4A010aEB7bb14", "ciao", "0.0.0")
    assert (MAINNET.is_real, TESTNET.is_real, SIMULATED.is_real) == (True, True, False)
    assert SIMULATED.domain.chain_id not in (1328, 1329)


# The digest, from EIP-712 itself: https://eips.ethereum.org/EIPS/eip-712, "Definition of hashStruct".


def keccak256(data: bytes) -> bytes:
    return keccak.new(digest_bits=256, data=data).digest()


def word(value: object, kind: str) -> bytes:
    """encodeData of one member: 32 bytes."""
    if kind == "string":
        return keccak256(str(value).encode())
    if kind == "address":
        return bytes.fromhex(str(value)[2:]).rjust(32, b"\0")
    assert isinstance(value, int)
    return value.to_bytes(32)


def hash_struct(name: str, members: list[tuple[str, str]], values: dict[str, Any]) -> bytes:
    encoded_type = f"{name}({','.join(f'{kind} {member}' for member, kind in members)})"
    return keccak256(keccak256(encoded_type.encode()) + b"".join(word(values[m], kind) for m, kind in members))


def digest(message: SignedMessage, domain: Domain) -> bytes:
    members = [("name", "string"), ("version", "string"), ("chainId", "uint256"), ("verifyingContract", "address")]
    separator = hash_struct("EIP712Domain", members, domain.fields())
    return keccak256(
        b"\x19\x01" + separator + hash_struct(message.primary_type, list(TYPES[message.primary_type]), message.fields())
    )


SUB = st.integers(0, 255)
PRODUCT = st.integers(0, 2**32 - 1)
MESSAGES = st.one_of(
    st.builds(Authentication, account=st.just(ADDRESS), sub_account_id=SUB),
    st.builds(CancelOrders, account=st.just(ADDRESS), sub_account_id=SUB, product_id=PRODUCT),
    st.builds(CancelOrder, account=st.just(ADDRESS), sub_account_id=SUB, product_id=PRODUCT, order_id=st.text()),
    st.builds(
        Order,
        account=st.just(ADDRESS),
        sub_account_id=SUB,
        product_id=PRODUCT,
        is_buy=st.booleans(),
        order_type=st.sampled_from(OrderType),
        time_in_force=st.sampled_from(TimeInForce),
        expiration_ms=st.integers(0, 2**64 - 1),
        price=st.integers(0, 2**63 - 1),
        size=st.integers(0, 2**63 - 1),
        nonce=st.integers(0, 2**64 - 1),
    ),
)


@given(MESSAGES, st.sampled_from(sorted(NETWORKS)))
def test_a_signature_is_of_the_digest_that_eip_712_defines(message: SignedMessage, venue: str) -> None:
    """Worked out from the EIP's text with another library's Keccak, and signed with the bare key."""
    domain = NETWORKS[venue].domain
    signature = PrivateKey(bytes.fromhex(KEY[2:])).sign_msg_hash(digest(message, domain))

    r_s, v = signature.to_bytes()[:64], signature.v + 27
    assert SIGNER.sign(message, domain) == f"0x{r_s.hex()}{v:02x}"


def test_a_number_that_does_not_fit_its_type_is_refused() -> None:
    """The 257th sub-account would be signed as another one, or not at all."""
    with pytest.raises(ProtocolError, match="subAccountId of SignedAuthentication is not a uint8: 256"):
        SIGNER.sign(Authentication(account=ADDRESS, sub_account_id=256), TESTNET.domain)


@pytest.mark.parametrize("wrong", ["", "0x12", KEY + "00", "0x" + "0" * 64, "0x" + "f" * 64, "zz" * 32, KEY[:-1] + "g"])
def test_what_is_no_key_is_refused_without_being_shown(wrong: str) -> None:
    """Too short, too long, zero, beyond the curve, no hexadecimal."""
    with pytest.raises(ConfigurationError, match=r"^KEY: is not a private key") as raised:
        Signer(SecretStr(wrong), setting="KEY")
    assert not wrong or wrong not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


def test_the_key_is_never_shown() -> None:
    """Neither by the signer nor by a request; and it is not pickled."""
    import pickle

    assert repr(SIGNER) == str(SIGNER) == f"Signer({ADDRESS})"
    request = requests.balances(Authentication(account=ADDRESS, sub_account_id=0), "0xfeed")
    assert "feed" not in repr(request)
    with pytest.raises(TypeError):
        pickle.dumps(SIGNER)
