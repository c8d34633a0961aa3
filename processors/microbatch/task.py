"""A partition that this worker owns: its pipeline, how far it has come, and what of that is safe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from processors.kernel.pipeline import Output, PartitionPipeline
from processors.kernel.quoting import Published
from processors.kernel.steprows import StepRows
from processors.kernel.steps import Step, Ticks
from schemas.columns.rows import Rows
from schemas.records import Alert, FeatureVector, Prediction, QuoteDecision

__all__ = ["Batch", "PartitionTask"]


@dataclass(slots=True, eq=False)
class PartitionTask:
    """One owned partition.

    Attributes:
        position: Next offset of the ticks to apply.
        safe: Position covered by the last acknowledged snapshot: what may be committed. None before the first.
        inputs: Next offset to apply of every other input, by the topic's name without prefix.
        covered: Position and inputs of that snapshot: as long as they stay, another one would say nothing new.
        snapshots: Number of the next snapshot.
        snapshot_bytes: Size of the last one.
        published: The decisions that were published before this worker restored: they are re-run silently, so that a
            decision once published is never made again.
        decisions_end: End of the partition of `trading.quotes` when this worker restored.
        undelivered: Batches passed over since one came that continues at `position`.
        keys: The Kafka key of each market, by its number in the pipeline's names.
        last_record_us, last_snapshot_us: Wall clock when a batch was last applied, a snapshot last begun.
    """

    partition: int
    pipeline: PartitionPipeline
    position: int
    epoch: int
    safe: int | None = None
    inputs: dict[str, int] = field(default_factory=dict)
    covered: tuple[int, Mapping[str, int]] | None = None
    snapshots: int = 0
    snapshot_bytes: int = 0
    published: Published = field(default_factory=Published)
    decisions_end: int = 0
    undelivered: int = 0
    last_record_us: int = 0
    last_snapshot_us: int = 0
    keys: list[bytes] = field(default_factory=list)

    def lose(self, to: int) -> int:
        """Go on at an offset before which retention removed records that were not applied; gives how many."""
        lost = to - self.position
        self.position = to
        self.pipeline.lose(lost)
        return lost

    def to_publish(self) -> list[Output | Rows]:
        """Take what the stages emitted, less the decisions that were published already."""
        outputs = self.pipeline.take()
        if not self.published.last:
            return outputs
        return [output for output in outputs if not self._is_published(output)]

    def _is_published(self, output: Output | Rows) -> bool:
        if isinstance(output, Rows):
            return False
        record = output.record
        if isinstance(record, QuoteDecision):
            return self.published.covers(record.market, record.ts_grid, record.sequence)
        if isinstance(record, Alert) and record.venue is not None and record.symbol is not None:
            # A breaker's alert comes with the decision of its grid point.
            return self.published.covers((record.venue, record.symbol), record.ts_alert)
        if isinstance(record, FeatureVector | Prediction) and self.pipeline.shows_own(record.market):
            # A book without our orders depends on more than the log, as decisions do.
            return self.published.covers(record.market, record.ts_grid)
        return False


@dataclass(slots=True)
class Batch:
    """What flows through the stages: a batch of one partition's ticks and the steps made of it."""

    task: PartitionTask
    ticks: Ticks
    steps: Sequence[Step | StepRows] = ()
