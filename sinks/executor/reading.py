"""From Kafka messages of `market.ticks` to what the executor's clockwork takes, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

import numpy as np
from confluent_kafka import Message

from schemas.columns import Spans, TickColumns
from schemas.columns.timely import decode_timely
from schemas.errors import CodecError
from schemas.reasons import DeadLetterReason
from schemas.records import Market
from sinks.decoding import Decoder, Delivery, delivery_of
from sinks.executor.stretch import Read, read_ticks

__all__ = ["TickReader"]


class TickReader:
    """Decodes messages of one topic of ticks.

    Args:
        topic: Its full name.
        traded: The markets whose ticks are wanted one by one.
        on_refused: Told of what is no tick.
    """

    def __init__(
        self,
        topic: str,
        decoder: Decoder,
        traded: Collection[Market],
        on_refused: Callable[[Delivery, CodecError], None],
    ) -> None:
        self._codec = decoder.codec(topic)
        self._decoder = decoder
        self._traded = traded
        self._on_refused = on_refused

    def read(self, messages: Sequence[Message]) -> Iterator[Read]:
        """Decode messages of one partition, in their order.

        Raises:
            ServiceUnavailable: a schema id is new and the registry does not answer.
        """
        values = Spans.of([m.value() for m in messages], [m.headers() for m in messages])
        columns = decode_timely(values, self._codec)
        if self._learns(columns, messages):
            columns = decode_timely(values, self._codec)
        for row, error in sorted(columns.errors.items()):
            self._on_refused(delivery_of(messages[row]), error)
        offsets = np.fromiter((m.offset() or 0 for m in messages), np.int64, len(messages))
        return read_ticks(offsets, columns, self._traded)

    def _learns(self, columns: TickColumns, messages: Sequence[Message]) -> bool:
        unknown = [row for row, error in columns.errors.items() if error.reason is DeadLetterReason.UNKNOWN_SCHEMA]
        return any([self._decoder.learns(delivery_of(messages[row])) for row in unknown])  # noqa: C419  each of them
