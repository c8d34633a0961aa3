"""The executor on Kafka: zero positions, journal, fills, cancels at the end, and taking over after a crash."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from pydantic import SecretStr

from infra.local.mock_kafka import MockCluster
from infra.runtime.settings import Settings
from infra.runtime.topics import create_topics
from schemas.enums import Mode, OrderAction, OrderStatus, Side, TickKind
from schemas.errors import ConfigurationError, Fenced, ServiceUnavailable
from schemas.records import (
    Alert,
    Balance,
    DeadLetter,
    ExecutionReport,
    Metric,
    OrderIntent,
    Position,
    QuoteDecision,
)
from schemas.topics import TOPICS
from sinks.executor.paper import resume
from sinks.executor.runner import ExecutorRunner
from sinks.instruments import load_instruments, read_instruments
from sinks.stop import Stop
from tests.quoted_market import PARTITION, PARTITIONS, Market, grid_now_us
from tests.sink_records import SYMBOL, VENUE, Kafka, eventually, execution, position, price, running, size

Run = Callable[..., AbstractContextManager[Any]]


@pytest.fixture
def settings(mock_kafka: MockCluster, development_registry_url: str, tmp_path: Path) -> Settings:
    """A Kafka of this test's own, with all topics, and the instruments."""
    for topic in TOPICS.values():
        mock_kafka.create_topic(topic.name, PARTITIONS)
    # Tests on a busy machine take their time: only the one about silence has a short patience.
    found = Settings(
        kafka_bootstrap=mock_kafka.bootstrap,
        registry_url=development_registry_url,
        data_dir=tmp_path,
        dead_man_ms=600_000,
    )
    load_instruments(found)
    return found


@pytest.fixture
def kafka(settings: Settings) -> Kafka:
    return Kafka(settings)


@pytest.fixture
def run(settings: Settings) -> Run:
    """Run an executor until the block is left, entered once it owns its partitions."""

    @contextmanager
    def start(**changes: Any) -> Iterator[None]:
        stop = Stop()
        runner = ExecutorRunner(settings.model_copy(update=changes), stop=stop)
        with running(runner.run, stop):
            eventually(lambda: len(runner.owned) == PARTITIONS)
            yield

    return start


def statuses(kafka: Kafka) -> list[tuple[OrderStatus, str | None]]:
    return [(r.status, r.reason) for r in kafka.read(ExecutionReport, PARTITION)]


def test_the_way_of_an_order(run: Run, kafka: Kafka) -> None:
    """A zero position at the start, an intent before its report, a fill and its position, and a cancel at the end."""
    market = Market(kafka)
    with run(dead_man_ms=60_000):
        (zero,) = kafka.read(Position, PARTITION)
        assert (zero.market, zero.mode, zero.quantity, zero.executions_offset) == ((VENUE, SYMBOL), Mode.PAPER, 0, 0)
        market.book(0)
        market.decide(0, ("0.2501", "40"))
        eventually(lambda: len(kafka.read(OrderIntent, PARTITION)) == 1)
        market.sell(60, "0.2500", "30")
        eventually(lambda: len(kafka.read(Position, PARTITION)) == 2)

    opened, filled, cancelled = kafka.read(ExecutionReport, PARTITION)
    assert (opened.status, opened.cause_topic) == (OrderStatus.OPEN, "market.ticks")
    assert (filled.status, filled.last_price, filled.last_size) == (OrderStatus.PARTIAL, price("0.2501"), size("30"))
    assert (cancelled.status, cancelled.reason) == (OrderStatus.CANCELLED, "EXECUTOR_STOPPED")
    assert {r.mode for r in (opened, filled, cancelled)} == {Mode.PAPER}
    place, cancel = kafka.read(OrderIntent, PARTITION)
    assert (place.action, cancel.action) == (OrderAction.PLACE, OrderAction.CANCEL)
    assert place.order_id == cancel.order_id == opened.order_id
    held = kafka.read(Position, PARTITION)[-1]
    assert (held.quantity, held.executions_offset) == (size("30"), 2)
    assert held.cash == -price("0.2501") * size("30")


def test_money_is_written_as_prices_move_and_survives_a_restart(run: Run, kafka: Kafka) -> None:
    """The position is valued at the last decision's mid; the best that the account was worth is not forgotten."""
    market = Market(kafka)

    def balances() -> list[Balance]:
        return [balance for n in range(PARTITIONS) for balance in kafka.read(Balance, n)]

    with run():
        market.book(0)
        market.decide(0, ("0.2501", "400"))
        eventually(lambda: bool(kafka.read(OrderIntent, PARTITION)))
        market.sell(60, "0.2500", "600")
        eventually(lambda: kafka.read(Position, PARTITION)[-1].quantity == size("400"))
        market.decide(200, mid="0.3505")
        eventually(lambda: kafka.read(Position, PARTITION)[-1].mark == price("0.3505"))
        eventually(lambda: balances()[-1].peak_equity == balances()[-1].equity)
        market.decide(400, mid="0.3005")
        eventually(lambda: kafka.read(Position, PARTITION)[-1].mark == price("0.3005"))
        eventually(lambda: balances()[-1].drawdown == 20 * 10**18)

    held = kafka.read(Position, PARTITION)[-1]
    assert held.unrealised_pnl == held.cash + held.quantity * price("0.3005") - held.realised_pnl
    before = balances()[-1]
    assert before.equity == before.deposits + 10 * (held.cash - held.fees + held.quantity * price("0.3005"))

    with run():
        market.decide(600, mid="0.2905")
        eventually(lambda: balances()[-1].drawdown == 24 * 10**18)
    assert balances()[-1].peak_equity == before.peak_equity


def test_a_new_executor_goes_on_from_the_log(run: Run, kafka: Kafka) -> None:
    """The last position with the executions after it; an order that a crash left open is reported cancelled."""
    kafka.write(position(0, executions_partition=PARTITION), partition=PARTITION)
    kafka.write(
        execution(1, last_size=size("2"), filled_size=size("2")),
        execution(2, order_id="done", status=OrderStatus.FILLED, account="other"),
        partition=PARTITION,
    )

    with run():
        restored = kafka.read(Position, PARTITION)[-1]
        assert restored.quantity == size("7")
        assert (restored.executions_offset, restored.fill_count) == (1, 2)

    assert statuses(kafka)[2:] == [(OrderStatus.CANCELLED, "EXECUTOR_RESTARTED")]


def test_a_new_executor_knows_the_book_that_the_last_one_saw(
    run: Run, kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From its checkpoint: the snapshot itself is too far back to be read again."""
    monkeypatch.setattr(resume, "WARM_UP_TICKS", 0)
    market = Market(kafka)
    with run():
        market.book(0)
        market.decide(0, ("0.2501", "40"))
        eventually(lambda: len(kafka.read(OrderIntent, PARTITION)) == 1)
        market.sell(60, "0.2490", "1")
        eventually(lambda: len(statuses(kafka)) == 2)
    before = len(statuses(kafka))

    with run():
        times = iter(range(200, 60_000, 200))

        def is_said() -> bool:
            at_ms = next(times)
            market.decide(at_ms, ("0.2501", "40"))  # the first one only values the position that is held
            market.sell(at_ms + 60, "0.2490", "1")
            return len(statuses(kafka)) > before

        eventually(is_said)

    assert statuses(kafka)[before] == (OrderStatus.OPEN, None)


def test_a_checkpoint_that_cannot_be_read_ends_what_was_open(run: Run, kafka: Kafka, settings: Settings) -> None:
    """And is told to people."""
    key = f"executor|paper|demo|{PARTITION}"
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap})
    producer.produce("state.executor", b"junk", key, partition=PARTITION)
    assert producer.flush(10) == 0
    kafka.write(position(0, executions_partition=PARTITION), partition=PARTITION)
    kafka.write(execution(1, last_size=size("2"), filled_size=size("2")), partition=PARTITION)

    with run():
        pass

    assert statuses(kafka)[1:] == [(OrderStatus.CANCELLED, "EXECUTOR_RESTARTED")]
    assert "CHECKPOINT_REFUSED" in [alert.code for n in range(PARTITIONS) for alert in kafka.read(Alert, n)]


def test_decisions_from_before_the_start_are_not_acted_on(run: Run, kafka: Kafka) -> None:
    """Nor are those of a record that cannot be read; both are passed over, and the next one counts."""
    market = Market(kafka)
    market.book(0)
    market.decide(0, ("0.2501", "40"))
    with run():
        kafka.write_bytes(QuoteDecision, b"junk", PARTITION)
        market.decide(200, ("0.2502", "40"))
        eventually(lambda: len(kafka.read(OrderIntent, PARTITION)) == 1)

    assert [i.price for i in kafka.read(OrderIntent, PARTITION) if i.action is OrderAction.PLACE] == [price("0.2502")]
    letters = [letter for n in range(PARTITIONS) for letter in kafka.read(DeadLetter, n)]
    assert [(x.component, x.reason) for x in letters] == [("executor", "NOT_FRAMED")]


def test_a_dry_run_journals_and_executes_nothing(run: Run, kafka: Kafka) -> None:
    """Its records say dry_run, and no order is ever reported."""
    market = Market(kafka)
    with run(executor_mode=Mode.DRY_RUN):
        market.book(0)
        market.decide(0, ("0.2501", "40"), mode=Mode.DRY_RUN)
        eventually(lambda: len(kafka.read(OrderIntent, PARTITION)) == 1)
        market.sell(60, "0.2400", "500")

    assert {i.mode for i in kafka.read(OrderIntent, PARTITION)} == {Mode.DRY_RUN}
    assert kafka.read(ExecutionReport, PARTITION) == []
    assert [p.mode for p in kafka.read(Position, PARTITION)] == [Mode.DRY_RUN]


def test_a_changed_instrument_counts_from_the_next_decision(run: Run, kafka: Kafka, settings: Settings) -> None:
    """The same price is taken before the tick widened; after, the account's rules have it off the tick."""
    market = Market(kafka)
    (sei,) = (found for found in read_instruments(settings)[0] if found.market == (VENUE, SYMBOL))
    grid = iter(range(200, 100_000, 200))

    def is_denied() -> bool:
        market.decide(at := next(grid), ("0.2503", "40"))
        market.tick(at + 50, (TickKind.LEVEL, Side.BUY, "0.2500", "100"))
        metrics = [metric for n in range(PARTITIONS) for metric in kafka.read(Metric, n)]
        return any(metric.counters.get("denied_instrument") for metric in metrics)

    with run():
        market.book(0)
        market.decide(0, ("0.2501", "40"))
        eventually(lambda: bool(kafka.read(OrderIntent, PARTITION)))
        market.tick(60, (TickKind.LEVEL, Side.BUY, "0.2500", "100"))
        eventually(lambda: (OrderStatus.OPEN, None) in statuses(kafka))
        kafka.write(replace(sei, tick=price("0.0010"), ts_effective=1), partition=PARTITION)
        eventually(is_denied)


def test_without_instruments_nothing_is_executed(mock_kafka: MockCluster, development_registry_url: str) -> None:
    """No instrument, no order: the executor does not start, and says what to run."""
    for topic in TOPICS.values():
        mock_kafka.create_topic(topic.name, PARTITIONS)
    empty = Settings(kafka_bootstrap=mock_kafka.bootstrap, registry_url=development_registry_url)

    with pytest.raises(ConfigurationError, match="flashmm instruments load"):
        ExecutorRunner(empty, stop=Stop())


def test_one_executor_has_an_account(run: Run, settings: Settings) -> None:
    """On the mock broker a lock of the machine keeps the second one out, which says so; another account is free."""
    with run():
        with pytest.raises(Fenced, match=r"paper\|demo"):
            ExecutorRunner(settings, stop=Stop()).run()
        with run(account="other"):
            pass


@pytest.mark.kafka
def test_a_newer_executor_fences_the_older(kafka_bootstrap: str, development_registry_url: str, tmp_path: Path) -> None:
    """On a real broker the newer one trades; the older one cannot journal, sends nothing, and says so."""
    create_topics(kafka_bootstrap, partitions=PARTITIONS, prefixes=["fence."])
    settings = Settings(
        kafka_bootstrap=kafka_bootstrap,
        registry_url=development_registry_url,
        data_dir=tmp_path,
        topic_prefix="fence.",
        dead_man_ms=600_000,
    )
    load_instruments(settings)
    kafka = Kafka(settings)
    market = Market(kafka, grid_now_us())
    stops = Stop(), Stop()
    older, newer = (ExecutorRunner(settings, stop=stop) for stop in stops)

    def fenced() -> None:
        with pytest.raises(Fenced, match=r"paper\|demo"):
            older.run()

    with running(fenced, stops[0]) as thread:
        eventually(lambda: len(older.owned) == PARTITIONS)
        with running(newer.run, stops[1]):
            eventually(lambda: len(newer.owned) == PARTITIONS)
            market.book(0)
            market.decide(0, ("0.2501", "40"))
            eventually(lambda: not thread.is_alive())
            eventually(lambda: bool(kafka.read(OrderIntent, PARTITION)))

    placed = [i for i in kafka.read(OrderIntent, PARTITION) if i.action is OrderAction.PLACE]
    assert len(placed) == 1
    alerts = [alert for n in range(PARTITIONS) for alert in kafka.read(Alert, n)]
    assert [alert.code for alert in alerts] == ["EXECUTOR_FENCED"]


def test_a_real_venue_is_not_traded_over_the_mock_broker(settings: Settings) -> None:
    """Nor a simulated one that is spoken to as if it were: nothing would keep a second executor out."""
    changes = {
        "executor_mode": Mode.CITREX,
        "quoted_venues": "sim-citrex",
        "citrex_rest_url": "http://127.0.0.1:1/v1",
        "citrex_private_key": SecretStr("0x" + "11" * 32),
    }

    with pytest.raises(ConfigurationError, match="FLASHMM_KAFKA_BOOTSTRAP"):
        ExecutorRunner(settings.model_copy(update=changes), stop=Stop()).run()


def test_an_address_that_does_not_answer_is_named(settings: Settings) -> None:
    """With the setting to correct."""
    wrong = settings.model_copy(update={"kafka_bootstrap": "127.0.0.1:1"})

    with pytest.raises(ServiceUnavailable, match="FLASHMM_KAFKA_BOOTSTRAP"):
        ExecutorRunner(wrong, stop=Stop()).run()


def test_a_wrong_number_of_partitions_is_a_wrong_setting(settings: Settings) -> None:
    """Markets would be looked for in the wrong ones."""
    wrong = settings.model_copy(update={"kafka_partitions": 8})

    with pytest.raises(ConfigurationError, match="FLASHMM_KAFKA_PARTITIONS"):
        ExecutorRunner(wrong, stop=Stop()).run()


def test_a_venue_without_books_is_a_wrong_setting(settings: Settings) -> None:
    """There would be nothing to execute."""
    with pytest.raises(ConfigurationError, match="FLASHMM_QUOTED_VENUES"):
        ExecutorRunner(settings.model_copy(update={"quoted_venues": "sim-sei"}), stop=Stop())
