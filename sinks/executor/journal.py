"""The account's journal: what one executor writes, and no other can once a newer one has opened it.

Intents, executions and positions are written in transactions under two ids of the (mode, account), in turn: while the
broker still ends the one before, the next has begun. Opening it again fences whoever had it open before: that executor
cannot journal any more, and so cannot send. The embedded mock broker has no transactions that all clients can read, so
there a lock on a local file keeps a second executor out, and says so.
"""

from __future__ import annotations

import fcntl
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from confluent_kafka import KafkaError, KafkaException, Producer

from infra.runtime.kafka import producer_config
from infra.runtime.settings import Settings
from schemas.enums import Mode
from schemas.errors import ConfigurationError, Fenced, ServiceUnavailable, StateError, TerminalError
from schemas.records import Balance, Command, ExecutionReport, OrderIntent, Position, Record
from sinks.ops import Outgoing, RecordWriter

__all__ = ["Journal"]

_KINDS: tuple[type[Record], ...] = (OrderIntent, ExecutionReport, Position, Balance, Command)
_ANSWER_S = 10.0
_REST_S = 0.006
_MOCK_CLUSTER = "mockCluster"
_LATE = frozenset({KafkaError._MSG_TIMED_OUT, KafkaError._TIMED_OUT})  # noqa: SLF001
_FENCED = frozenset({KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH})  # noqa: SLF001  librdkafka spells it so


@dataclass(slots=True)
class _Line:
    """A producer of one transactional id, and when its last transaction ended, on the monotonic clock."""

    producer: Producer
    ended_s: float = -math.inf


class Journal:
    """Write an account's records, each group of them whole or not at all.

    Args:
        give_up: Asked while waiting; once it says so, the outcome of what is under way is not known.
        patience_s: A write that takes longer is given up too; None waits as long as the broker takes.

    Raises:
        ServiceUnavailable: the registry does not answer.
        ConfigurationError: a committed schema is not registered.
    """

    def __init__(
        self,
        settings: Settings,
        mode: Mode,
        account: str,
        give_up: Callable[[], bool],
        patience_s: float | None = None,
    ) -> None:
        self._settings = settings
        self._mode = mode
        self._owner = f"{mode}|{account}"
        self._told_to_give_up = give_up
        self._patience_s = math.inf if patience_s is None else patience_s
        # When the write under way began; opening is waited for.
        self._since_s = math.inf
        self._lock: IO[str] | None = None
        self._is_grouping = False
        self._is_begun = False
        self._ends: dict[tuple[type[Record], int], int] = {}
        # The first has the transaction under way, or had the last one.
        self._lines: deque[_Line] = deque()
        self._writer = RecordWriter(settings, _KINDS)

    def open(self) -> str:
        """Take the account over from whoever had it; give what keeps others out, in words.

        Raises:
            ConfigurationError: mode citrex on the mock broker.
            Fenced: on the mock broker, another executor of this machine has the account.
            ServiceUnavailable: the broker does not answer in time.
        """
        probe = Producer(producer_config(self._settings))
        cluster = self._answered(lambda: probe.list_topics(timeout=_ANSWER_S).cluster_id)
        config: dict[str, Any] = {"linger.ms": 0, "enable.idempotence": True}
        if str(cluster).startswith(_MOCK_CLUSTER):
            if self._mode is Mode.CITREX:
                problem = "is the embedded mock broker: it fences nobody, and forgets"
                raise ConfigurationError("FLASHMM_KAFKA_BOOTSTRAP", problem, "Use a real Kafka, as `--kafka jvm` is")
            self._lock = self._locked(self._settings.data_dir / f"executor-{self._owner.replace('|', '-')}.lock")
            # 0: librdkafka tries for ever; who waits decides when to give up.
            producer = Producer(producer_config(self._settings, **config | {"message.timeout.ms": 0}))
            self._lines.append(_Line(producer))
            return "a lock of this machine: the mock broker has no transactions"
        # What a killed executor left open holds up readers no longer than this.
        config["transaction.timeout.ms"] = 10_000
        for suffix in ("", "|2"):
            config["transactional.id"] = f"{self._settings.topic_prefix}flashmm-executor|{self._owner}{suffix}"
            line = _Line(Producer(producer_config(self._settings, **config)))
            self._lines.append(line)
            self._answered(partial(line.producer.init_transactions, _ANSWER_S))
        return "the broker's transactions: a newer executor fences this one"

    def write(
        self, records: Sequence[Outgoing], then: Callable[[list[int]], Sequence[Outgoing]] | None = None
    ) -> list[int]:
        """Write records, then those made of their offsets, in one transaction; give the offsets of the first.

        Raises:
            Fenced: another executor has the account: nothing was written, and nothing ever will be.
            ServiceUnavailable: told to give up before it was done: the outcome is not known.
            TerminalError: the broker refused a record for good.
        """
        if not records:
            return []
        with self._transaction():
            self._begin()
            offsets = self._produced(records)
            if then is not None:
                self._produced(then(offsets))
        return offsets

    @contextmanager
    def together(self) -> Iterator[None]:
        """Write all that is written within in one transaction, committed at its end: each costs as much as another.

        Raises:
            StateError: already within such a one, which would not be committed yet when this one ends.
            Fenced, ServiceUnavailable, TerminalError: as `write` does.
        """
        if self._is_grouping:
            raise StateError("what is written together is not committed before its end")
        with self._transaction():
            yield

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        if self._is_grouping:
            yield
            return
        self._is_grouping = True
        try:
            yield
        finally:
            self._is_grouping = False
        self._commit()

    def keep(self, topic: str, states: Mapping[int, tuple[str, bytes]]) -> None:
        """Write states, key and value by partition; nobody can who does not have the account any more.

        Raises:
            Fenced: another executor has the account.
            ServiceUnavailable: told to give up before it was done.
            TerminalError: the broker refused it for good.
        """
        if not states:
            return
        with self._transaction():
            self._begin()
            for partition, (key, value) in states.items():
                record: dict[str, Any] = {"value": value, "key": key.encode(), "partition": partition}
                self._answered(partial(self._opened.produce, topic, **record))
        if self._lock is not None:
            self._opened.flush(_ANSWER_S)  # on the mock broker a checkpoint that is lost costs a longer replay

    def end_of(self, kind: type[Record], partition: int) -> int:
        """Give the offset after the last record of a kind that was written to a partition; 0 where none was."""
        return self._ends.get((kind, partition), 0)

    def close(self) -> None:
        """Let the account go."""
        if self._lock is not None:
            self._lock.close()

    @property
    def _opened(self) -> Producer:
        if not self._lines:
            raise StateError("the journal is not open")
        return self._lines[0].producer

    def _begin(self) -> None:
        self._since_s = time.monotonic()
        if self._lock is not None or self._is_begun:
            return
        # Right behind its last one it would be refused, while the broker ends that, and be tried again 20 ms later.
        self._lines.rotate()
        time.sleep(max(0.0, self._lines[0].ended_s + _REST_S - self._since_s))
        self._answered(self._opened.begin_transaction)
        self._is_begun = True

    def _commit(self) -> None:
        if not self._is_begun:
            return
        producer, answer_s = self._opened, min(_ANSWER_S, self._patience_s)
        self._answered(lambda: producer.commit_transaction(answer_s))
        self._is_begun = False
        self._lines[0].ended_s = time.monotonic()

    def _produced(self, records: Sequence[Outgoing]) -> list[int]:
        try:
            offsets = self._writer.write(self._opened, records, self._give_up, self._answered)
        except KafkaException as failure:
            raise self._error(failure.args[0]) from failure
        for outgoing, offset in zip(records, offsets, strict=True):
            if outgoing.partition is not None:
                self._ends[type(outgoing.record), outgoing.partition] = offset + 1
        return offsets

    def _give_up(self) -> bool:
        return self._told_to_give_up() or time.monotonic() - self._since_s > self._patience_s

    def _answered(self, call: Callable[[], Any]) -> Any:
        """Ask the broker, again while its answer is only late."""
        while True:
            try:
                return call()
            except KafkaException as failure:
                error: KafkaError = failure.args[0]
                if error.retriable() and not error.fatal() and not self._give_up():
                    continue
                raise self._error(error) from failure

    def _error(self, error: KafkaError) -> Exception:
        if error.code() in _FENCED or (error.txn_requires_abort() and self._is_fenced()):
            return Fenced(self._owner)
        if error.retriable() or error.code() in _LATE:
            return ServiceUnavailable("Kafka", self._settings.kafka_bootstrap, error.str())
        return TerminalError(f"Kafka refused the journal of {self._owner}: {error.str()}. See the broker's log")

    def _is_fenced(self) -> bool:
        """Ask whether another has the account: Kafka 4.1 calls it an unknown error while it is fencing."""
        try:
            self._opened.abort_transaction(_ANSWER_S)
        except KafkaException as failure:
            return failure.args[0].code() in _FENCED
        return False

    def _locked(self, path: Path) -> IO[str]:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise Fenced(self._owner) from None
        return file
