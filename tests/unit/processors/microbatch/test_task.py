"""A partition's task: what was published before it took over is not published again."""

from __future__ import annotations

from dataclasses import replace

from processors.kernel.pipeline import PartitionPipeline, PipelineConfig
from processors.kernel.quoting import Published
from processors.kernel.quotingconfig import QuotingConfig
from processors.kernel.steps import Input
from processors.microbatch.task import PartitionTask
from schemas.columns.rows import Rows
from schemas.enums import Mode, Severity
from schemas.records import Alert, FeatureVector, QuoteDecision
from tests.kernel_steps import MARKET, instruments
from tests.ticks import T0, Feed

GRID_US = 200_000


def task(published: Published, quoting: QuotingConfig | None = None) -> PartitionTask:
    """One second of a quoted market whose feed is gone after the fourth grid point."""
    feed = Feed(MARKET[1], venue=MARKET[0], source="sim")
    log = feed.levels(T0, [("0.3998", 500)], [("0.4002", 500)], clear=True)
    for at in range(1, 60):
        log.append(feed.heartbeat(T0 + at * 20_000, T0))
        if at == 41:
            log.append(feed.status(T0 + at * 20_000, 1))
    pipeline = PartitionPipeline(
        PipelineConfig(quoting=quoting or QuotingConfig()), "market.ticks", 0, instruments=instruments()
    )
    pipeline.run([Input(offset, tick) for offset, tick in enumerate(log)])
    return PartitionTask(0, pipeline, position=len(log), epoch=1, published=published)


def told(published: Published) -> list[tuple[int, int | str]]:
    """Give what is published of decisions and alerts: grid points, and sequence or code."""
    found: list[tuple[int, int | str]] = []
    for output in task(published).to_publish():
        record = None if isinstance(output, Rows) else output.record
        if isinstance(record, QuoteDecision):
            found.append(((record.ts_grid - T0) // GRID_US, record.sequence))
        elif isinstance(record, Alert):
            found.append(((record.ts_alert - T0) // GRID_US, record.code))
    return found


ALL = [(1, 0), (2, 0), (3, 0), (4, 0), (4, 1), (5, "BREAKER_OPEN"), (5, 0)]


def test_without_a_predecessor_everything_is_published() -> None:
    """Decisions at each grid point, the pull between two, and the alert of the breaker that opens."""
    assert told(Published()) == ALL


def test_what_is_published_already_is_made_again_silently() -> None:
    """Up to the last one by grid point and sequence; a breaker's alert goes with the decision of its grid point."""
    for count, last in enumerate([(1, 0), (2, 0), (3, 0), (4, 0), (4, 1)], 1):
        assert told(Published({MARKET: (T0 + last[0] * GRID_US, last[1])})) == ALL[count:]
    assert told(Published({MARKET: (T0 + 5 * GRID_US, 0)})) == []


def test_other_markets_and_other_alerts_are_published() -> None:
    """What is published of one market says nothing of another."""
    one = task(Published({("v", "A/B"): (T0 + 9 * GRID_US, 0)}))
    alert = Alert(component="worker", severity=Severity.INFO, code="X", message="", ts_alert=0)
    one.pipeline._emit(alert, 0)
    one.pipeline._emit(replace(alert, venue="v", symbol="A/B"), 0)

    outputs = [output for output in one.to_publish() if not isinstance(output, Rows)]

    assert alert in [output.record for output in outputs]
    assert replace(alert, venue="v", symbol="A/B") not in [output.record for output in outputs]
    assert sum(isinstance(output.record, QuoteDecision) for output in outputs) == 6


def test_features_of_a_book_without_our_orders_go_with_its_decisions() -> None:
    """They rest on the journal too, so what is published once is not made again; others are functions of the log."""
    published = Published({MARKET: (T0 + 3 * GRID_US, 0)})
    found = {}
    for quoting in (QuotingConfig(), QuotingConfig(mode=Mode.CITREX, shows_own=True)):
        outputs = [output for output in task(published, quoting).to_publish() if not isinstance(output, Rows)]
        vectors = [output.record for output in outputs if isinstance(output.record, FeatureVector)]
        found[quoting.mode] = [(vector.ts_grid - T0) // GRID_US for vector in vectors]

    assert found == {Mode.PAPER: [1, 2, 3, 4], Mode.CITREX: [4]}
