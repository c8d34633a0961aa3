"""Instruments come from a file that people write: what is wrong in it is said, with the file and what to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.enums import ContractKind
from schemas.errors import ConfigurationError
from schemas.instruments import Instruments
from schemas.numbers import PRICE_SCALE

TABLE = {"venue": '"sei-clob"', "symbol": '"SEI/USDC"', "tick": '"0.0001"', "lot": '"1"'}


def file_of(folder: Path, **changes: str) -> Path:
    path = folder / "instruments.toml"
    lines = [f"{name} = {value}" for name, value in {**TABLE, **changes}.items()]
    path.write_text("\n".join(["[[instrument]]", *lines]))
    return path


def test_numbers_are_read_exactly(tmp_path: Path) -> None:
    """They are texts in the file, for a TOML float would be binary."""
    instrument = Instruments.load(file_of(tmp_path)).get("sei-clob", "SEI/USDC")

    assert instrument is not None
    assert (instrument.tick, instrument.group) == (10**PRICE_SCALE // 10_000, "SEI")


def test_a_perpetual_has_its_own_symbol_and_the_group_of_its_base(tmp_path: Path) -> None:
    """So that it shares a partition with the spot market, and never a book. A rebate is a negative fee."""
    path = file_of(tmp_path, symbol='"SEI/USDC-PERP"', contract='"perpetual"', maker_fee='"-0.00002"')
    instrument = Instruments.load(path).get("sei-clob", "SEI/USDC-PERP")

    assert instrument is not None
    assert (instrument.contract, instrument.group, instrument.maker_fee_ppm) == (ContractKind.PERPETUAL, "SEI", -20)


def test_the_built_in_perpetuals_are_found_by_the_venues_names() -> None:
    """On the real venue, on its test network and on the simulated one."""
    known = Instruments.load()

    for venue in ("citrex", "citrex-testnet", "sim-citrex"):
        assert known.canonical(venue, "seiperp") == "SEI/USDC-PERP"
        assert known.group(venue, "ETH/USDC-PERP") == known.group("sei-clob", "WETH/USDC")


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("tick", '"x"', "tick must be a number of at most 9 decimals, was 'x'"),
        ("tick", '"0"', "tick must be positive, was '0'"),
        ("lot", '"-1"', "lot must be positive"),
        ("lot", "1", "lot must be a text, was 1"),
        ("maker_fee", '"0.00000025"', "maker_fee must be a part of the value, at most 6 decimals"),
        ("contract", '"future"', "contract is unknown, was 'future'"),
        ("kind", '"pool"', "kind is unknown, was 'pool'"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, name: str, value: str, problem: str) -> None:
    """File, instrument, field and value."""
    path = file_of(tmp_path, **{name: value})

    with pytest.raises(ConfigurationError, match=f"{path}: instrument sei-clob SEI/USDC: {problem}"):
        Instruments.load(path)


@pytest.mark.parametrize("content", [b"instrument = 5", b"instrument = [5]", b"[[instrument", b"\xff"])
def test_a_file_of_something_else_is_named(tmp_path: Path, content: bytes) -> None:
    """Also where it is TOML of another kind, or no TOML at all."""
    path = tmp_path / "other.toml"
    path.write_bytes(content)

    with pytest.raises(ConfigurationError, match=str(path)):
        Instruments.load(path)
