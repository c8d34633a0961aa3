"""The subscription query: grammar, matching, normal form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.simulator.query import Query, QueryError

EVENTS = {"tm.event": ["Tx"], "tx.height": ["120"], "wasm.action": ["swap", "provide"], "wasm.note": [""]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tm.event='Tx'", True),
        ("tm.event = 'Tx' AND wasm.action='provide'", True),
        ("tm.event='Tx' AND wasm.action='burn'", False),
        ("tm.event='NewBlock'", False),
        ("tx.height=120", True),
        ("tx.height>=120 AND tx.height<121", True),
        ("tx.height > 120", False),
        ("wasm.note EXISTS", True),
        ("wasm.missing EXISTS", False),
        ("wasm.action CONTAINS 'wa'", True),
        ("wasm.action CONTAINS 'xx'", False),
        ("tm.event='OrderBookUpdate' AND market_id='SEI/USDC'", False),
    ],
)
def test_matching(text: str, expected: bool) -> None:
    """All conditions must hold; a condition holds if any value of its tag meets it."""
    assert Query.parse(text).matches(EVENTS) is expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "malformed query", "tm.event", "tm.event=", "tm.event='Tx", "tm.event='Tx' OR x=1", "='Tx'"),
        *("a='b' AND", "a > 'b'", "a='b' c='d'", "a..b='c'", "a CONTAINS 5", "a=TIME 2020-01-01T00:00:00Z"),
    ],
)
def test_what_does_not_parse_is_said(text: str) -> None:
    """Anything outside the grammar is an error with a detail."""
    with pytest.raises(QueryError) as caught:
        Query.parse(text)
    assert str(caught.value)


def test_spelling_does_not_matter() -> None:
    """Two spellings of one query have one normal form."""
    assert str(Query.parse("tm.event='Tx'  AND tx.height =5")) == "tm.event = 'Tx' AND tx.height = 5"


@given(st.text(max_size=60))
def test_any_text_parses_or_is_refused(text: str) -> None:
    """No text escapes as anything but a QueryError, and a normal form parses to itself."""
    try:
        query = Query.parse(text)
    except QueryError:
        return
    assert Query.parse(str(query)) == query
