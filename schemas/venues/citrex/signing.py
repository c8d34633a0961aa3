"""Signing with an account's key, through eth-account."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import SecretStr

from schemas.errors import ConfigurationError
from schemas.venues.citrex.messages import TYPES, Domain, SignedMessage

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

__all__ = ["Signer"]

_CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Of secp256k1 (SEC 2, section 2.4.1)."""


class Signer:
    """Holds an account's private key and shows it to nobody.

    Args:
        key: 32 bytes in hexadecimal, with or without 0x.
        setting: Where the key came from, for the message when it is wrong.

    Raises:
        ConfigurationError: it is not a private key; the message does not repeat it.
    """

    __slots__ = ("_account", "address")

    def __init__(self, key: SecretStr, *, setting: str) -> None:
        secret = _secret(key.get_secret_value())
        if secret is None:
            raise ConfigurationError(setting, "is not a private key", "Give 32 bytes in hexadecimal, 0x…")
        # Imported here: it takes half a second, and only who signs needs it.
        from eth_account import Account

        self._account: LocalAccount = Account.from_key(secret)
        self.address: str = self._account.address
        """The account, with the checksum of EIP-55 in its capitals."""

    def __repr__(self) -> str:
        return f"Signer({self.address})"

    def __reduce__(self) -> str:
        raise TypeError("a private key is not pickled")

    def sign(self, message: SignedMessage, domain: Domain) -> str:
        """Sign a message: r, s and v (27 or 28) in hexadecimal. The same message always gets the same signature.

        Raises:
            ProtocolError: a number of the message does not fit its type.
        """
        from eth_account.messages import encode_typed_data

        types = {message.primary_type: [{"name": name, "type": kind} for name, kind in TYPES[message.primary_type]]}
        signable = encode_typed_data(domain.fields(), types, message.fields())
        return f"0x{bytes(self._account.sign_message(signable).signature).hex()}"


def _secret(text: str) -> bytes | None:
    """Give the bytes of a key: a whole number from 1 to the curve's order less 1."""
    try:
        secret = bytes.fromhex(text.strip().removeprefix("0x"))
    except ValueError:
        return None
    return secret if len(secret) == 32 and 0 < int.from_bytes(secret) < _CURVE_ORDER else None
