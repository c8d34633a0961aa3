"""Events of the chain to trades, exactly."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.sei.mapping import DEFAULT_MAPPINGS, ChainEvent, EventMapping
from schemas.enums import Flag, Side, TickKind
from schemas.errors import ConfigurationError, ContractError, DoesNotFit, ProtocolError
from schemas.numbers import INT64_MAX, PRICE_SCALE, SIZE_SCALE, divide_half_even, from_units
from schemas.reasons import DeadLetterReason

ROOT = Path(__file__).resolve().parents[4]
MAPPING = EventMapping.load()


@pytest.fixture
def event(node: Any) -> Any:
    """Makes a swap event with some attributes changed."""

    def make(**changes: str | None) -> ChainEvent:
        kind, attributes = node.swap(**changes)
        return ChainEvent(kind, tuple(attributes.items()))

    return make


def test_a_swap_of_quote_for_base_is_a_buy_with_exact_amounts(event: Any) -> None:
    """The taker who offers USDC buys SEI; 2 USDC for 40 SEI is a price of 0.05."""
    fields = MAPPING.fields(event())
    assert fields is not None
    assert fields["symbol"] == "SEI/USDC"
    assert fields["kind"] is TickKind.TRADE
    assert fields["side"] is Side.BUY
    assert fields["base_amount"] == 40 * 10**18
    assert fields["quote_amount"] == 2 * 10**18
    assert fields["price"] == 50_000_000
    assert fields["size"] == 40 * 10**SIZE_SCALE
    assert fields["flags"] == Flag.DERIVED


def test_a_swap_of_base_for_quote_is_a_sell(event: Any, node: Any) -> None:
    """The taker who offers SEI sells it."""
    usdc = dict(node.swap()[1])["offer_asset"]
    fields = MAPPING.fields(event(offer_asset="usei", ask_asset=usdc))
    assert fields is not None
    assert fields["side"] is Side.SELL
    assert (fields["base_amount"], fields["quote_amount"]) == (2 * 10**18, 40 * 10**18)


def test_a_price_is_rounded_half_even(event: Any) -> None:
    """1 / 3 at scale 9, from the exact amounts, which stay."""
    fields = MAPPING.fields(event(offer_amount="1", return_amount="3"))
    assert fields is not None
    assert fields["price"] == 333_333_333
    assert fields["base_amount"] == 3 * 10**12


@pytest.mark.parametrize(
    "changes",
    [{"action": "provide_liquidity"}, {"_contract_address": "sei1anybody"}, {"_contract_address": None}],
    ids=["another action", "a contract that is not trusted", "no contract"],
)
def test_what_no_rule_or_pool_is_about_makes_nothing(event: Any, changes: dict[str, str | None]) -> None:
    """Anybody may deploy a contract that says it swapped; only listed ones are believed."""
    assert MAPPING.fields(event(**changes)) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"offer_amount": None}, DeadLetterReason.MALFORMED),
        ({"offer_amount": "-5"}, DeadLetterReason.MALFORMED),
        ({"offer_amount": "0"}, DeadLetterReason.MALFORMED),
        ({"offer_amount": "1.5"}, DeadLetterReason.MALFORMED),
        ({"offer_amount": "1e3"}, DeadLetterReason.MALFORMED),
        ({"offer_amount": "٣"}, DeadLetterReason.MALFORMED),
        ({"offer_asset": "uatom"}, DeadLetterReason.UNKNOWN_SYMBOL),
        ({"offer_asset": "usei"}, DeadLetterReason.UNKNOWN_SYMBOL),
        ({"offer_amount": "9" * 30}, DeadLetterReason.DOES_NOT_FIT),
        ({"return_amount": "9" * 19}, DeadLetterReason.DOES_NOT_FIT),
    ],
)
def test_a_swap_of_a_known_pool_that_is_not_as_declared_is_refused(
    event: Any, changes: dict[str, str | None], reason: DeadLetterReason
) -> None:
    """With the reason, never with a guess."""
    with pytest.raises(ContractError) as caught:
        MAPPING.fields(event(**changes))
    assert caught.value.reason is reason


def test_a_repeated_attribute_is_ambiguous(event: Any) -> None:
    """Which of two amounts is meant cannot be told."""
    swap = event()
    twice = ChainEvent(swap.type, (*swap.attributes, ("return_amount", "1")))
    with pytest.raises(ProtocolError, match="repeated"):
        MAPPING.fields(twice)


@given(st.integers(1, 10**20), st.integers(1, 10**20))
def test_derived_numbers_follow_from_the_exact_amounts(offered: int, returned: int) -> None:
    """Price and size are the half-even roundings of what the amounts say, or the swap is refused."""
    pool = next(iter(MAPPING.pools.values()))
    attributes = {
        "_contract_address": pool.contract,
        "action": "swap",
        "offer_asset": pool.quote.denom,
        "ask_asset": pool.base.denom,
        "offer_amount": str(offered),
        "return_amount": str(returned),
    }
    try:
        fields = MAPPING.fields(ChainEvent("wasm", tuple(attributes.items())))
    except DoesNotFit:
        price, size = divide_half_even(offered * 10**PRICE_SCALE, returned), returned * 100
        assert price == 0 or max(price, size) > INT64_MAX
        return
    assert fields is not None
    assert fields["price"] == divide_half_even(offered * 10**PRICE_SCALE, returned)
    assert from_units(fields["size"], SIZE_SCALE) * 10**6 == returned


def test_the_worked_example_of_the_documentation_works(tmp_path: Path) -> None:
    """The mapping and the event in the page make the tick that the page says."""
    page = (ROOT / "docs" / "adding-an-event-mapping.md").read_text(encoding="utf-8")
    blocks = dict(re.findall(r"```(toml|json)\n(.*?)```", page, re.S))
    path = tmp_path / "mappings.toml"
    path.write_text(blocks["toml"], encoding="utf-8")
    example = json.loads(blocks["json"])
    event = ChainEvent(example["type"], tuple((a["key"], a["value"]) for a in example["attributes"]))
    fields = EventMapping.load(path).fields(event)
    assert fields is not None
    assert fields["symbol"] == "WETH/USDC"
    assert fields["side"] is Side.SELL
    assert from_units(fields["price"], PRICE_SCALE) == 2500
    assert from_units(fields["size"], SIZE_SCALE) * 100 == 150


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('makes = "swap"', 'makes = "fill"'),
        ("decimals = 6", "decimals = 19"),
        ('base = "usei"', 'base = "unknown"'),
        ('contract = "_contract_address"', ""),
        ("[[asset]]", "[asset]"),
        ("[[asset]]", "[[asset"),
        ('where = { action = "swap" }', "where = 1"),
    ],
)
def test_a_wrong_mapping_file_names_the_setting(tmp_path: Path, old: str, new: str) -> None:
    """A mapping that cannot be used stops the start, with what is wrong."""
    text = DEFAULT_MAPPINGS.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "mappings.toml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigurationError, match="FLASHMM_SEI_MAPPINGS"):
        EventMapping.load(path)
