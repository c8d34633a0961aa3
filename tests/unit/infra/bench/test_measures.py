"""The small calculations between what is observed and what is reported."""

from __future__ import annotations

import numpy as np
import pytest

from infra.bench.codec import codec_results
from infra.bench.growth import CASES
from infra.bench.latency import percentiles
from infra.bench.memory import memory_result
from infra.bench.peers import PEERS, consumer_performance_result
from infra.bench.profile import SECTIONS, profile_results
from infra.bench.sinks import steady_rate
from infra.bench.suites import Options, peers
from infra.bench.worker import Sample
from schemas.errors import ConfigurationError, ServiceUnavailable

CONSUMER_PERFORMANCE = """\
time, threadId, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, fetch.time.ms, \
fetch.MB.sec, fetch.nMsg.sec
[main] INFO client - Revoked partitions [a-0, a-1], again
2026-01-01 00:00:01:250, 0, 0.1, 0.1, 1000, 0.1, 1000, 250, 0.1, 0.1
2026-01-01 00:00:03:000, 0, 0.1, 0.1, 4000000, 0.1, 0, 1750, 0.1, 0.1
2026-01-01 00:00:05:000, 0, 0.1, 0.1, 12000000, 0.1, 0, 2000, 0.1, 0.1
"""


def test_consumer_performance_is_timed_without_its_join() -> None:
    """Everybody else's join is not counted either; what it reads once Java has compiled it is told apart."""
    drain = consumer_performance_result(CONSUMER_PERFORMANCE)

    assert (drain.ticks, drain.seconds) == (12_000_000, 4.0)
    assert drain.cold_rate == 2_000_000
    assert drain.warm_rate == 4_000_000


@pytest.mark.parametrize("output", ["", "WARNING: Exiting before consuming, it timed out", "a, b\n1, 2"])
def test_what_consumer_performance_says_instead_is_an_error(output: str) -> None:
    """A figure is never guessed."""
    with pytest.raises(ServiceUnavailable):
        consumer_performance_result(output)


def test_an_unknown_peer_is_refused_before_anything_starts(tmp_path: object) -> None:
    """The names are a promise."""
    assert PEERS == ("consumer-performance", "kafka-streams", "faust", "quix", "bytewax", "pathway")
    with pytest.raises(ConfigurationError):
        peers(Options(tmp_path, lambda _: None), ["flink"])  # type: ignore[arg-type]


def test_percentiles_go_to_the_maximum() -> None:
    """The worst one counts most."""
    found = percentiles(np.arange(1, 1_001, dtype=np.float64))

    assert found["p50"] == pytest.approx(500.5)
    assert found["p99"] == pytest.approx(990.01)
    assert found["max"] == 1_000


def test_a_sinks_rate_is_that_within_the_work() -> None:
    """Neither its start nor the wait after the last record counts."""
    reports = [(0, 0), (1_000_000, 500), (2_000_000, 1_500), (3_000_000, 2_500), (4_000_000, 2_600)]

    assert steady_rate(reports) == 1_000


def test_a_sink_that_is_quick_is_rated_from_its_last_idle_report() -> None:
    """Which says rather too little."""
    assert steady_rate([(0, 0), (2_000_000, 1_000)]) == 500
    with pytest.raises(ServiceUnavailable):
        steady_rate([(2_000_000, 1_000)])


def test_memory_is_told_by_its_course() -> None:
    """What grows for ever shows in the slope of the second half."""
    flat = memory_result([Sample(second, 0.0, 100 * 2**20) for second in range(60)])
    growing = memory_result([Sample(second, 0.0, (100 + second) * 2**20) for second in range(60)])

    assert flat["rss_mb_per_minute"] == 0
    assert growing["rss_mb_per_minute"] == pytest.approx(60, rel=0.01)
    assert (growing["rss_start_mb"], growing["rss_end_mb"]) == (102.5, 156.5)
    assert growing["rss_greatest_mb"] == 159


def test_growth_changes_one_thing_at_a_time() -> None:
    """1 to 1,000 markets, 1 to 16 partitions, 1 and 2 workers."""
    assert {case.markets for case in CASES} >= {1, 1_000}
    assert {case.partitions for case in CASES} >= {1, 16}
    assert {case.workers for case in CASES} == {1, 2}
    assert len({case.name for case in CASES}) == len(CASES)


def test_the_profile_tells_what_each_section_costs() -> None:
    """In nanoseconds a tick."""
    results = profile_results(60_000)

    assert [result["name"] for result in results] == list(SECTIONS)
    assert all(float(str(result["ns_per_tick"])) > 0 for result in results if result["name"] != "trades")


def test_the_codec_benchmark_measures_every_reader_and_writer() -> None:
    """In nanoseconds a record."""
    results = codec_results(200)

    assert {str(result["name"]).partition("-")[0] for result in results} == {"decode", "encode"}
    assert all(float(str(result["ns_per_record"])) > 0 for result in results)
