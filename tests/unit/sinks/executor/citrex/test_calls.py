"""What an answer of Citrex says, and what it does not."""

from __future__ import annotations

import pytest

from schemas.venues.citrex.account import OrderState
from schemas.venues.citrex.reading import Refusal
from sinks.executor.citrex.calls import Answer, Lost, Reply, TokenBucket, read_cancel, read_order
from tests.unit.sinks.executor.citrex.making import DONE, accepted, refused

NOTHING: list[Answer] = [
    Lost.NO_ANSWER,
    Reply(200, b"{"),
    Reply(200, b"[]"),
    Reply(302, b""),
    refused("too slow", 408),
    refused("too many requests", 429),
    refused("out of order", 500),
    Reply(502, b"<html>"),
    Reply(404, b"<html>"),
]


@pytest.mark.parametrize("answer", NOTHING)
def test_what_is_not_definite_says_nothing(answer: Answer) -> None:
    """Neither of an order nor of a cancel."""
    assert read_order(answer) is None
    assert read_cancel(answer) is None


@pytest.mark.parametrize("answer", [refused("insufficient margin"), refused("x", 401), refused("x", 200)])
def test_a_refusal_in_the_protocols_words_is_definite(answer: Answer) -> None:
    """With 4xx, and with 200 too."""
    assert isinstance(read_order(answer), Refusal)
    assert isinstance(read_cancel(answer), Refusal)


def test_a_refusal_for_its_nonce_says_nothing() -> None:
    """A proxy that repeated the request may have placed it the first time."""
    assert read_order(refused("Nonce was used")) is None


def test_without_a_connection_nothing_was_sent() -> None:
    """That is as good as a refusal."""
    assert isinstance(read_order(Lost.NOT_SENT), Refusal)
    assert isinstance(read_cancel(Lost.NOT_SENT), Refusal)


def test_what_was_done_is_read() -> None:
    """An order as the venue has it, and a success; not with a status that contradicts it."""
    assert isinstance(read_order(accepted("a")), OrderState)
    assert read_cancel(DONE) is True
    assert read_cancel(Reply(400, b'{"success": true}')) is None


def test_a_budget_is_kept_and_fills_again() -> None:
    """As many at once as a second allows; a reserve is left to those who may use it."""
    bucket = TokenBucket(4)
    assert [bucket.take(0, reserve=2) for _ in range(3)] == [True, True, False]
    assert [bucket.take(0) for _ in range(3)] == [True, True, False]
    assert [bucket.take(250_000), bucket.take(250_000)] == [True, False]
