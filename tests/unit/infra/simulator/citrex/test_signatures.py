"""The venue finds out by itself who signed, with its own EIP-712."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.simulator.citrex.signatures import signer_of
from schemas.venues.citrex.messages import NETWORKS, TESTNET

TESTS = Path(__file__).parents[4]
VECTORS = json.loads((TESTS / "contract/data/citrex-sdk-1.2.2.json").read_text(encoding="utf-8"))
ADDRESS = "0xb47b0b1e44b932ae9bb01817e7010a553a965ea8"
TYPES = {
    ("POST", "order"): "Order",
    ("POST", "order/cancel-and-replace"): "Order",
    ("DELETE", "order"): "CancelOrder",
    ("DELETE", "openOrders"): "CancelOrders",
    ("GET", "balances"): "SignedAuthentication",
}


def parts(vector: dict[str, Any]) -> tuple[str, dict[str, Any], str]:
    """Primary type, fields and signature of what the exchange's SDK sent."""
    body = dict(vector.get("body") or vector["query"])
    body = dict(body.get("newOrder", body))
    for name in ("price", "quantity", "subAccountId"):
        if name in body:
            body[name] = int(body[name])
    return TYPES[vector["method"], vector["path"]], body, body.pop("signature")


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: f"{v['network']}-{v['method']}-{v['path']}")
def test_it_knows_the_signer_of_what_the_sdk_signed(vector: dict[str, Any]) -> None:
    """On both networks; for the other one, or with any field changed, it is somebody else."""
    kind, fields, signature = parts(vector)
    domain = NETWORKS[vector["network"]].domain

    assert signer_of(kind, fields, signature, domain) == ADDRESS
    other = next(network.domain for network in NETWORKS.values() if network.domain != domain)
    assert signer_of(kind, fields, signature, other) != ADDRESS
    for name in ("subAccountId", "productId", "nonce", "expiration", "price", "quantity", "orderType"):
        if name in fields:
            assert signer_of(kind, {**fields, name: fields[name] ^ 1}, signature, domain) != ADDRESS


@pytest.mark.parametrize(
    "signature",
    [None, 5, "", "0x", "zz", "0x" + "00" * 65, "0x" + "ff" * 65, "0x" + "11" * 64, "0x" + "11" * 64 + "1d"],
)
def test_what_is_no_signature_has_no_signer(signature: object) -> None:
    """Wrong length, wrong recovery id, no point of the curve."""
    fields = {"account": ADDRESS, "subAccountId": 0}
    assert signer_of("SignedAuthentication", fields, signature, TESTNET.domain) is None


@pytest.mark.parametrize(
    "change", [{"subAccountId": 256}, {"subAccountId": True}, {"subAccountId": -1}, {"account": "0x12"}, {"account": 5}]
)
def test_a_field_that_does_not_fit_its_type_has_no_signer(change: dict[str, Any]) -> None:
    """Not a digest of something else."""
    kind, fields, signature = parts(next(v for v in VECTORS if v["path"] == "balances"))
    assert signer_of(kind, {**fields, **change}, signature, TESTNET.domain) is None
    assert signer_of(kind, {"account": ADDRESS}, signature, TESTNET.domain) is None
