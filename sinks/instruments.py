"""`reference.instruments`: read to its end, and loaded from a file."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from infra.runtime.clock import Clock, wall_clock_us
from infra.runtime.settings import Settings
from schemas.instrument_table import InstrumentTable, changes
from schemas.instruments import DEFAULT_PATH, Instruments, partition_for
from schemas.records import Instrument
from schemas.topics import topic_of
from sinks.decoding import Decoder
from sinks.log import log_reader
from sinks.ops import Outgoing, RecordProducer

__all__ = ["load_instruments", "outgoing_instrument", "read_instruments"]

_TOPIC = topic_of(Instrument)
_ANSWER_S = 30.0
_CLOSE_S = 3.0


def read_instruments(settings: Settings, decoder: Decoder | None = None) -> tuple[InstrumentTable, Mapping[int, int]]:
    """Read the topic to its end; give its table, and by partition the offset where it ended.

    Raises:
        ServiceUnavailable: the broker or the registry does not answer.
        ConfigurationError: the schema is not registered.
    """
    decoder = decoder or Decoder.for_topics([_TOPIC.name], settings, wall_clock_us)
    topic = _TOPIC.full_name(settings.topic_prefix)
    table, ends = InstrumentTable(), {}
    with log_reader(settings, decoder) as log:
        for partition in range(settings.kafka_partitions):
            start, end = log.ends(topic, partition)
            for record, _ in log.records(topic, partition, start, end):
                if isinstance(record, Instrument):
                    table.take(record)
            ends[partition] = end
    return table, ends


def load_instruments(settings: Settings, path: Path | None = None, *, clock: Clock = wall_clock_us) -> list[Instrument]:
    """Write what a file says and the topic does not; give what was written.

    Args:
        path: The file; that of the settings where None.

    Raises:
        ConfigurationError: the file is wrong, would move a market to another group, or the schema is not registered.
        ServiceUnavailable: the broker or the registry does not answer.
    """
    wanted = Instruments.load(path or settings.instruments or DEFAULT_PATH)
    table, _ = read_instruments(settings)
    found = changes(table, wanted, clock())
    if not found:
        return found
    producer = RecordProducer(settings, (Instrument,))
    deadline = time.monotonic() + _ANSWER_S
    try:
        producer.write(
            [outgoing_instrument(instrument, settings.kafka_partitions) for instrument in found],
            lambda: time.monotonic() > deadline,
        )
    finally:
        producer.close(_CLOSE_S)
    return found


def outgoing_instrument(instrument: Instrument, partitions: int) -> Outgoing:
    """Address an instrument: its market is the key, its group chooses the partition."""
    key = f"{instrument.venue}|{instrument.symbol}"
    return Outgoing(instrument, key, partition_for(instrument.group.encode(), partitions))
