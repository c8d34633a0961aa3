"""What a worker tells about itself: metrics, alerts, dead letters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from processors.kernel.snapshot import BUDGET_BYTES
from schemas.enums import Severity
from schemas.errors import CodecError
from schemas.records import Alert, DeadLetter, Metric
from schemas.topics import TOPICS

if TYPE_CHECKING:
    from processors.microbatch.engine import MicroBatchEngine
    from processors.microbatch.task import PartitionTask

__all__ = ["dead_letter", "input_trimmed", "metrics", "publish_metrics", "snapshot_over_budget"]

_COMPONENT = "worker"
_MAX_DEAD_LETTER = 65_536


def metrics(engine: MicroBatchEngine) -> list[Metric]:
    """Give the cumulative counters of each owned partition, and gauges of it and of the worker."""
    now = engine.clock()
    latencies = {f"latency_ms.{name}": value for name, value in engine.latency.gauges().items()}
    reports = []
    for task in engine.tasks.values():
        gauges = {**latencies, "pending": float(engine.pending), "snapshot_bytes": float(task.snapshot_bytes)}
        end = engine.end_of_log(task.partition)
        if end is not None:
            gauges["lag"] = float(max(0, end - task.position))
        counters = {**task.pipeline.counters(), "position": task.position}
        instance = f"{engine.stage_set}|{task.partition}"
        reports.append(Metric(component=_COMPONENT, instance=instance, ts_metric=now, counters=counters, gauges=gauges))
    return reports


def publish_metrics(engine: MicroBatchEngine) -> None:
    """Queue the metrics of every owned partition, unless those before still wait for the broker."""
    topic = engine.topic(Metric)
    for metric in metrics(engine):
        partition = int(metric.instance.rpartition("|")[2])
        if engine.publisher.is_settled(topic, partition):
            engine.send(metric, partition, metric.ts_metric)


def dead_letter(
    engine: MicroBatchEngine, partition: int, topic: str, offset: int, value: bytes, error: CodecError
) -> None:
    """Queue what could not be decoded, with its reason and position."""
    now = engine.clock()
    letter = DeadLetter(
        component=_COMPONENT,
        reason=error.reason,
        detail=error.detail,
        source=topic,
        source_partition=partition,
        source_offset=offset,
        payload=value[:_MAX_DEAD_LETTER],
        payload_size=len(value),
        ts_seen=now,
    )
    engine.send(letter, partition, now)


def input_trimmed(engine: MicroBatchEngine, task: PartitionTask, lost: int) -> None:
    """Alert a person that retention removed ticks before they were applied."""
    message = (
        f"{TOPICS['market.ticks'].name}[{task.partition}] was trimmed: {lost} records before offset "
        f"{task.position} are lost. Raise its retention, or keep workers from lagging"
    )
    _alert(engine, task, Severity.CRITICAL, "INPUT_TRIMMED", message)


def snapshot_over_budget(engine: MicroBatchEngine, task: PartitionTask) -> None:
    """Alert a person that a partition's snapshot is larger than it should be. It is written all the same."""
    message = (
        f"the snapshot of {TOPICS['market.ticks'].name}[{task.partition}] has {task.snapshot_bytes} bytes, more than "
        f"{BUDGET_BYTES}: a restart takes longer. Spread its markets over more partitions, or keep fewer levels"
    )
    _alert(engine, task, Severity.WARNING, "SNAPSHOT_OVER_BUDGET", message)


def _alert(engine: MicroBatchEngine, task: PartitionTask, severity: Severity, code: str, message: str) -> None:
    now = engine.clock()
    alert = Alert(component=_COMPONENT, severity=severity, code=code, message=message, ts_alert=now)
    engine.send(alert, task.partition, now)
