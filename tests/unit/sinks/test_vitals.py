"""Health and metrics documents, by the clock."""

from __future__ import annotations

import pytest

from schemas.enums import BookState
from sinks.vitals import Vitals
from tests.sink_records import NOW_US, SYMBOL, VENUE, book, metric

S = 1_000_000


@pytest.fixture
def vitals() -> Vitals:
    """A platform with its essential parts just seen."""
    vitals = Vitals()
    vitals.see_metric(metric("producer.sim-sei", NOW_US))
    vitals.see_metric(metric("worker", NOW_US))
    return vitals


@pytest.mark.parametrize(("age_s", "status"), [(0, "healthy"), (5, "healthy"), (6, "degraded"), (31, "unhealthy")])
def test_a_component_ages(vitals: Vitals, age_s: int, status: str) -> None:
    """Fresh for 5 s, silent after 30 s; the worst makes the whole."""
    now_us = NOW_US + age_s * S
    vitals.see_metric(metric("worker", now_us))

    health = vitals.health(now_us)

    assert health["components"]["producer.sim-sei"]["1"]["status"] == status
    assert health["components"]["worker"]["1"]["status"] == "healthy"
    assert health["status"] == status


def test_what_was_never_seen_is_missing() -> None:
    """A platform without worker or producer is not healthy, however fresh the rest."""
    vitals = Vitals()
    vitals.see_metric(metric("sink.redis", NOW_US))

    health = vitals.health(NOW_US)

    assert (health["status"], health["missing"]) == ("unhealthy", ["producer", "worker"])


@pytest.mark.parametrize(
    ("state", "age_s", "status"),
    [(BookState.LIVE, 10, "healthy"), (BookState.LIVE, 11, "degraded"), (BookState.GAPPED, 0, "degraded")],
)
def test_a_book_that_is_not_live_degrades(vitals: Vitals, state: BookState, age_s: int, status: str) -> None:
    """So does one that stopped changing."""
    now_us = NOW_US + age_s * S
    for component in ("worker", "producer.sim-sei"):
        vitals.see_metric(metric(component, now_us))
    vitals.see_book(book(0, state=state))

    health = vitals.health(now_us)

    assert health["books"][f"{VENUE}:{SYMBOL}"]["status"] == status
    assert health["status"] == status


def test_a_component_that_is_gone_is_forgotten(vitals: Vitals) -> None:
    """After ten minutes; as an essential one it is missing from then on."""
    assert vitals.health(NOW_US + 600 * S)["missing"] == []
    assert vitals.health(NOW_US + 601 * S)["missing"] == ["producer", "worker"]


def test_rates_come_from_two_metrics(vitals: Vitals) -> None:
    """A counter that starts again at zero has no negative rate."""
    vitals.see_metric(metric("worker", NOW_US + 2 * S, counters={"ticks": 30, "new": 1}))
    assert vitals.realtime(NOW_US)["components"]["worker"]["1"]["rates_per_s"] == {"ticks": 10.0}

    vitals.see_metric(metric("worker", NOW_US + 3 * S, counters={"ticks": 1}))
    assert vitals.realtime(NOW_US)["components"]["worker"]["1"]["rates_per_s"] == {"ticks": 0.0}


def test_an_older_metric_changes_nothing(vitals: Vitals) -> None:
    """A redelivery from further back in the log."""
    vitals.see_metric(metric("worker", NOW_US - S, counters={"ticks": 3}))

    assert vitals.realtime(NOW_US)["components"]["worker"]["1"]["counters"] == {"ticks": 10}
