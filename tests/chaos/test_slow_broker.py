"""A worker far behind, whose outputs the broker takes slowly: it goes at the broker's pace and stays small."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from infra.bench.log import TickLog
from infra.demo.observer import Observer
from infra.local.jvm_kafka import JvmKafka
from infra.local.ports import LOOPBACK
from infra.local.process import wait_until
from schemas.records import Metric, Trade
from tests.chaos.conftest import IS_LONG, StartRun
from tests.chaos.log import codec_of
from tests.chaos.proxy import FaultProxy

pytestmark = [pytest.mark.kafka, pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(600 if IS_LONG else 400)]

TICKS = 4_000_000 if IS_LONG else 1_500_000
SLOW_KIB_PER_S = 2_000
SLOWLY = 1_000_000 if IS_LONG else 350_000
"""Ticks applied while the broker is slow, much more than the worker may hold."""

RSS_LIMIT = 400 * 2**20


@pytest.fixture(scope="module")
def broker(proxied_kafka: JvmKafka) -> str:
    """The address that does not go through the proxy: the tests' own clients are not slowed."""
    return proxied_kafka.bootstrap


def test_memory_is_bounded_however_far_behind_and_nothing_is_lost(start_run: StartRun, proxy: FaultProxy) -> None:
    """A log of many times what the worker may hold; each trade is published once when the broker is fast again."""
    run = start_run("slow.")
    ground = SimpleNamespace(
        bootstrap=run.settings.kafka_bootstrap, partitions=4, codec=lambda record: codec_of(run.settings, record)
    )
    log = TickLog(ground, markets=40)  # type: ignore[arg-type]  # all that it needs of a ground
    log.grow(TICKS)
    observer = Observer(run.settings, codec_of(run.settings, Metric))
    proxy.slow(SLOW_KIB_PER_S)
    worker = run.start(FLASHMM_KAFKA_BOOTSTRAP=f"{LOOPBACK}:{proxy.port}")

    def has_applied(count: int) -> bool:
        observer.poll(0.2)
        worker.check()
        worker.sample_rss()
        return sum(observer.applied().values()) >= count

    assert wait_until(lambda: has_applied(SLOWLY), timeout_s=150), worker.log_tail()
    assert sum(observer.applied().values()) < TICKS, "the broker was not slow"
    proxy.slow(None)
    assert wait_until(lambda: has_applied(log.records), timeout_s=150), worker.log_tail()
    rejected = observer.totals.counter("worker", "ticks.rejected.DUPLICATE")
    published = wait_until(lambda: sum(observer.ends(Trade).values()) >= log.trades - rejected, timeout_s=30)
    trades = sum(observer.ends(Trade).values())
    observer.close()

    print(f"peak {worker.rss_peak_bytes >> 20} MiB")
    assert published
    assert trades == log.trades - rejected
    assert worker.rss_peak_bytes < RSS_LIMIT, f"{worker.rss_peak_bytes >> 20} MiB"
