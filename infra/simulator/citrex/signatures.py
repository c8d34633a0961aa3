"""Who signed a request: EIP-712 and the curve, written here once more and apart from the client's.

A venue that shared the client's encoder would accept the client's mistakes. Types and fields are those of the
exchange's contracts; the digest follows https://eips.ethereum.org/EIPS/eip-712, the address is the last 20 bytes of the
Keccak-256 of the public key.
"""

from __future__ import annotations

from collections.abc import Mapping

from Crypto.Hash import keccak
from eth_keys.datatypes import Signature
from eth_keys.exceptions import BadSignature
from eth_utils.exceptions import ValidationError

from schemas.venues.citrex.messages import Domain

__all__ = ["message_digest", "signer_of"]

_TYPES = {
    "Order": "address account,uint8 subAccountId,uint32 productId,bool isBuy,uint8 orderType,uint8 timeInForce,"
    "uint64 expiration,uint128 price,uint128 quantity,uint64 nonce",
    "CancelOrder": "address account,uint8 subAccountId,uint32 productId,string orderId",
    "CancelOrders": "address account,uint8 subAccountId,uint32 productId",
    "SignedAuthentication": "address account,uint8 subAccountId",
}
_DOMAIN = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"


def signer_of(primary_type: str, fields: Mapping[str, object], signature: object, domain: Domain) -> str | None:
    """Give the address that signed a message, in small letters; None where the signature or a field is wrong."""
    try:
        digest = message_digest(primary_type, fields, domain)
        raw = bytes.fromhex(signature.removeprefix("0x")) if isinstance(signature, str) else b""
        if len(raw) != 65 or raw[64] not in (27, 28):
            return None
        key = Signature(raw[:64] + bytes([raw[64] - 27])).recover_public_key_from_msg_hash(digest)
    except (ValueError, OverflowError, KeyError, TypeError, BadSignature, ValidationError):
        return None
    return f"0x{_keccak(key.to_bytes())[12:].hex()}"


def message_digest(primary_type: str, fields: Mapping[str, object], domain: Domain) -> bytes:
    """Give the 32 bytes that are signed.

    Raises:
        ValueError, OverflowError, KeyError, TypeError: a field is missing or wrong.
    """
    separator = _keccak(
        _keccak(_DOMAIN.encode())
        + _keccak(domain.name.encode())
        + _keccak(domain.version.encode())
        + domain.chain_id.to_bytes(32)
        + _word("address", domain.verifying_contract)
    )
    members = _TYPES[primary_type]
    words = b"".join(_word(kind, fields[name]) for kind, name in (part.split() for part in members.split(",")))
    return _keccak(b"\x19\x01" + separator + _keccak(_keccak(f"{primary_type}({members})".encode()) + words))


def _word(kind: str, value: object) -> bytes:
    if kind == "string":
        if not isinstance(value, str):
            raise TypeError(kind)
        return _keccak(value.encode())
    if kind == "address":
        if not isinstance(value, str) or not value.startswith("0x") or len(value) != 42:
            raise ValueError(kind)
        return bytes(12) + bytes.fromhex(value[2:])
    if kind == "bool":
        if not isinstance(value, bool):
            raise TypeError(kind)
        return int(value).to_bytes(32)
    if isinstance(value, bool) or not isinstance(value, int) or value >> int(kind.removeprefix("uint")):
        raise ValueError(kind)
    return value.to_bytes(32)


def _keccak(data: bytes) -> bytes:
    return keccak.new(digest_bits=256, data=data).digest()
